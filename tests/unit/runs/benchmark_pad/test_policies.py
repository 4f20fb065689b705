import shlex

import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.benchmark_pad.policies import choose_policies
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

ALL = ("fixed", "canvases", "batch")


def demo(*settings: str) -> ExperimentSpec:
    return load_spec(preset="demo", settings=settings).spec


def names_and_own(spec: ExperimentSpec) -> dict[str, bool]:
    return {policy.name: policy.is_own for policy in choose_policies(spec, ALL)}


def test_the_specs_own_policy_is_compared_as_it_stands() -> None:
    assert names_and_own(demo()) == {
        "fixed": True,
        "canvases 3": False,
        "canvases 6": False,
        "batch": False,
    }
    four = demo("padding={policy: canvases, num_canvases: 4}")
    assert names_and_own(four) == {"fixed": False, "canvases 4": True, "batch": False}
    named = demo("padding={policy: canvases, canvases_pixels: [[320, 256], [256, 192]]}")
    assert names_and_own(named) == {"fixed": False, "canvases 2": True, "batch": False}
    coarse = demo("padding={policy: batch, divisor_pixels: 64}")
    assert names_and_own(coarse)["batch"]


@pytest.mark.parametrize(
    ("augmentation", "canvas"),
    [
        ("{kind: resize, scales_pixels: [[300, 100], [200, 150]]}", [320, 160]),
        ("{kind: resize, scales_pixels: [[60, 50]]}", [64, 64]),
        ("{kind: resize-crop, scales_pixels: [[300, 200]], crop_pixels: [161, 96]}", [192, 96]),
    ],
)
def test_where_the_spec_has_no_fixed_canvas_it_is_the_smallest_that_holds_all_scales(
    augmentation: str, canvas: list[int]
) -> None:
    spec = demo(f"augmentation={augmentation}", "padding={policy: batch}")
    _, policy = choose_policies(spec, ["batch", "fixed"])
    assert policy.settings == ("padding.policy=fixed", f"padding.canvas_pixels={canvas}")


def test_pictures_that_are_cut_to_a_square_are_not_measured_on_canvases_of_their_batches() -> None:
    spec = demo(
        "augmentation={kind: scale-jitter, edge_pixels: 128}", "padding={policy: canvases, num_canvases: 4}"
    )
    assert names_and_own(spec) == {"fixed": False, "canvases 4": True}
    fixed, _ = choose_policies(spec, ALL)
    assert fixed.settings == ("padding.policy=fixed", "padding.canvas_pixels=[128, 128]")


@pytest.mark.parametrize(
    "own",
    [
        "{policy: batch, divisor_pixels: 64}",
        "{policy: canvases, canvases_pixels: [[320, 256], [256, 192]]}",
        "{policy: fixed, canvas_pixels: [320, 256]}",
    ],
)
def test_the_options_of_a_policy_lead_to_it_from_any_spec(own: str) -> None:
    for policy in choose_policies(demo(f"padding={own}"), ALL):
        words = shlex.split(policy.options)
        assert words[::2] == ["--set"] * len(policy.settings)
        assert load_spec(preset="demo", settings=words[1::2]).spec.padding == policy.padding


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["batch"], ["fixed", "batch"]),
        (["batch", "fixed"], ["batch", "fixed"]),
        (["fixed"], ["fixed"]),
    ],
)
def test_the_specs_own_policy_comes_first_where_it_is_not_named(names: list[str], chosen: list[str]) -> None:
    assert [policy.name for policy in choose_policies(demo(), names)] == chosen


def test_no_names_are_an_error() -> None:
    with pytest.raises(SpecError) as caught:
        choose_policies(demo(), [])
    assert caught.value.problems == ["--policies: names none; choose from fixed, canvases, batch"]


def test_unknown_policies_are_named_with_those_there_are() -> None:
    with pytest.raises(SpecError) as caught:
        choose_policies(demo(), ["fixed", "none", "all"])
    assert caught.value.problems == [
        "--policies: 'none' is unknown; choose from fixed, canvases, batch",
        "--policies: 'all' is unknown; choose from fixed, canvases, batch",
    ]
