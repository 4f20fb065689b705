from typing import Any, get_args

import pytest

from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.norm import BatchNormSpec, SyncBatchNormSpec


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

    expected = {"kind": "sync", "back_end": back_end, "statistics": "all", "epsilon": 1e-5}
    assert spec.norm.model_dump() == expected


def test_an_unknown_back_end_is_refused_with_the_names_there_are() -> None:
    (problem,) = problems("norm.kind=sync", "norm.back_end=horovod")

    assert "norm.back_end" in problem
    assert all(f"'{name}'" in problem for name in get_args(NormBackEnd))


def test_a_back_end_without_synchronisation_is_refused() -> None:
    (problem,) = problems("norm.kind=batch", "norm.back_end=coalesced")

    assert "norm.back_end" in problem


@pytest.mark.parametrize("back_end", ["torch", "apex"])
@pytest.mark.parametrize(
    ("kind", "part"),
    [(kind, part) for kind in ("faster_rcnn", "cascade_rcnn") for part in ("roi_head", "mask")],
)
def test_a_back_end_that_counts_padding_cannot_normalise_regions(back_end: str, kind: str, part: str) -> None:
    sync = ["norm.kind=sync", f"norm.back_end={back_end}"]
    head = [f"model.head.kind={kind}", "model.head.roi_head.num_convs=4", f"model.head.{part}.norm=batch"]

    (problem,) = problems(*sync, *head)

    assert (
        f"norm.back_end: '{back_end}' counts regions that are padding, so model.head.{part}.norm" in problem
    )
    for other in ("norm.back_end=coalesced", f"model.head.{part}.norm=group"):
        load_spec(preset="hrnet-w18", settings=[*sync, *head, other])


@pytest.mark.parametrize("part", ["roi_head", "mask"])
def test_a_norm_without_convolutions_is_refused(part: str) -> None:
    (problem,) = problems("model.head.mask={}", f"model.head.{part}={{num_convs: 0, norm: group}}")
    assert f"model.head.{part}.norm: 'group' is for convolutions, but num_convs is 0" in problem


@pytest.mark.parametrize("kind", ["batch", "sync"])
def test_all_pixels_count_unless_the_spec_says_otherwise(kind: str) -> None:
    default, valid = (
        load_spec(preset="hrnet-w18", settings=[f"norm.kind={kind}", *more]).spec.norm
        for more in ([], ["norm.statistics=valid"])
    )

    assert isinstance(default, BatchNormSpec | SyncBatchNormSpec)
    assert isinstance(valid, BatchNormSpec | SyncBatchNormSpec)
    assert (default.statistics, valid.statistics) == ("all", "valid")


@pytest.mark.parametrize("back_end", ["torch", "apex"])
def test_norms_of_other_packages_cannot_leave_the_padding_out(back_end: str) -> None:
    found = problems("norm.kind=sync", f"norm.back_end={back_end}", "norm.statistics=valid")

    assert found == [
        f"--set norm.statistics=valid: norm.statistics: 'valid' is not for norm.back_end '{back_end}', which "
        "counts all pixels; set norm.back_end=coalesced or norm.statistics=all"
    ]


@pytest.mark.parametrize(
    ("key", "value", "needed"),
    [
        ("model.head.rpn.anchor_area", "padded", "picture"),
        ("model.head.rpn.anchor_area", "canvas", "picture"),
        ("model.head.rpn.anchor_step", "canvas", "stride"),
    ],
)
def test_anchors_of_the_padding_do_not_go_with_statistics_that_ignore_it(
    key: str, value: str, needed: str
) -> None:
    (problem,) = problems("norm.statistics=valid", f"{key}={value}")

    assert problem == (
        f"--set {key}={value}: {key}: '{value}' makes anchors depend on the padding, but with "
        f"norm.statistics=valid nothing does; set {key}={needed} or norm.statistics=all"
    )


@pytest.mark.parametrize("kind", ["group", "frozen"])
def test_norms_without_statistics_of_the_batch_have_no_choice_of_pixels(kind: str) -> None:
    (problem,) = problems(f"norm.kind={kind}", "norm.statistics=valid")

    assert "norm.statistics: unknown key; it is for norm.kind=batch or norm.kind=sync" in problem


@pytest.mark.parametrize("kind", ["batch, keep_statistics: false", "sync"])
def test_trained_statistics_need_an_epsilon(kind: str) -> None:
    (problem,) = problems(f"norm={{kind: {kind}, epsilon: 0}}")

    assert "norm.epsilon: 0 is only for statistics that stay as they are" in problem


@pytest.mark.parametrize("kind", ["batch, keep_statistics: true", "frozen"])
def test_statistics_that_stay_need_none(kind: str) -> None:
    load_spec(preset="hrnet-w18", settings=[f"norm={{kind: {kind}, epsilon: 0}}"])


def test_frozen_stages_of_random_weights_are_refused_for_every_backbone() -> None:
    (problem,) = problems(
        "norm.keep_statistics=false", "model.weights=null", "model.backbone.frozen_stages=2"
    )

    assert "model.backbone.frozen_stages=2 would keep random weights as they are" in problem
