from typing import Any, get_args

import pytest

from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.norm import SyncBatchNormSpec


def problems(*settings: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=[*settings])
    return caught.value.problems


def test_messages_are_shared_unless_the_spec_says_otherwise() -> None:
    assert load_spec(preset="hrnet-w18-syncbn").spec.norm == SyncBatchNormSpec(
        kind="sync", back_end="coalesced"
    )


def test_the_spec_knows_the_back_ends_of_the_engine_and_no_others() -> None:
    annotation: Any = SyncBatchNormSpec.model_fields["back_end"].annotation

    assert get_args(annotation) == get_args(NormBackEnd)


@pytest.mark.parametrize("back_end", get_args(NormBackEnd))
def test_every_back_end_can_be_set_by_its_name(back_end: str) -> None:
    spec = load_spec(preset="hrnet-w18", settings=["norm.kind=sync", f"norm.back_end={back_end}"]).spec

    assert spec.norm.model_dump() == {"kind": "sync", "back_end": back_end}


def test_an_unknown_back_end_is_refused_with_the_names_there_are() -> None:
    (problem,) = problems("norm.kind=sync", "norm.back_end=horovod")

    assert "norm.back_end" in problem
    assert all(f"'{name}'" in problem for name in get_args(NormBackEnd))


def test_a_back_end_without_synchronisation_is_refused() -> None:
    (problem,) = problems("norm.kind=batch", "norm.back_end=coalesced")

    assert "norm.back_end" in problem
