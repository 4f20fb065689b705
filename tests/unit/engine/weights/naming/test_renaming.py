"""Names are read in either direction, and what nobody knows stays."""

import pytest
import torch

from hrdet_cli.engine.weights.naming.renaming import LayerNames, renamed_to_ours, renamed_to_theirs

NAMES = (
    LayerNames("head.{}.convs.{}.bn", "stages.{}.convs.{}.norm", has_statistics=True),
    LayerNames("head.{}.convs.{}.gn", "stages.{}.convs.{}.norm", has_statistics=False),
    LayerNames("head.{}.convs.{}.conv", "stages.{}.convs.{}"),
    LayerNames("fc", "last"),
)


def of(*keys: str) -> dict[str, torch.Tensor]:
    return {key: torch.tensor(float(index)) for index, key in enumerate(keys)}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("head.2.convs.10.conv.weight", "stages.2.convs.10.weight"),
        ("head.2.convs.10.gn.bias", "stages.2.convs.10.norm.bias"),
        ("fc.a.b.weight", "last.a.b.weight"),
        ("fcs.weight", "fcs.weight"),
        ("other.fc.weight", "other.fc.weight"),
        ("head.x.convs.0.conv.weight", "head.x.convs.0.conv.weight"),
        ("fc", "last"),
    ],
)
def test_whole_words_at_the_start_of_a_key_or_all_of_them_are_names(theirs: str, ours: str) -> None:
    assert list(renamed_to_ours(of(theirs), NAMES)) == [ours]
    assert list(renamed_to_theirs(of(ours), NAMES)) == [theirs]


def test_of_two_spellings_the_one_is_taken_that_the_layer_s_statistics_ask_for() -> None:
    ours = of(
        "stages.0.convs.0.norm.weight",
        "stages.0.convs.0.norm.running_mean",
        "stages.0.convs.1.norm.weight",
    )
    theirs = renamed_to_theirs(ours, NAMES)
    assert list(theirs) == [
        "head.0.convs.0.bn.weight",
        "head.0.convs.0.bn.running_mean",
        "head.0.convs.1.gn.weight",
    ]
    assert renamed_to_ours(theirs, NAMES) == ours


def test_the_first_name_that_fits_counts() -> None:
    names = (LayerNames("a.b", "c"), LayerNames("a", "d"))
    assert list(renamed_to_ours(of("a.b.x", "a.x"), names)) == ["c.x", "d.x"]
