"""Anchors that fit training boxes at the scales that they are trained at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hrdet_cli.cli.display.plan import describe_anchors
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.models.necks.levels import NUM_LEVELS as OF_PYRAMIDS
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.anchor_advice import advise_anchors, with_fitted_anchors
from hrdet_cli.runs.build.anchors import build_anchor_fit
from hrdet_cli.runs.resume import check_same_spec, saved_anchors
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.anchors import NUM_LEVELS
from hrdet_cli.specs.loading import format_spec, load_spec, with_settings
from tests.planned_runs import make_annotations, plan_of

_AUTO, _BY_LEVEL = (f"model.head.rpn.anchor_scale={value}" for value in ("auto", "auto-by-level"))
SMALL = make_annotations(30, side=55.0)
"""At 1333x800, which enlarges 640x480 by 5/3, squares of 92 pixels: between anchors of 64 and 128."""


def _spec(*settings: str, preset: str = "hrnet-w18") -> ExperimentSpec:
    return load_spec(preset=preset, settings=settings).spec


def test_squares_of_one_size_get_an_anchor_of_their_size() -> None:
    advice = advise_anchors(_spec(), SMALL)
    assert advice is not None
    assert advice.present is not None
    assert advice.denser is not None
    octaves = np.log2(np.array(advice.fitted.shapes.sides()) / (55 * 5 / 3))
    assert np.abs(octaves).min() < 1 / 8
    assert 1.0 in advice.fitted.shapes.aspect_ratios
    assert advice.fitted.mean_iou > advice.present.mean_iou
    assert advice.fitted.recall > advice.present.recall + 0.5
    assert advice.denser.shapes.num_per_cell == 2 * advice.fitted.shapes.num_per_cell == 6


def test_the_settings_of_an_advice_choose_its_anchors() -> None:
    spec = _spec()
    advice = advise_anchors(spec, SMALL)
    assert advice is not None
    for choice in (advice.fitted, advice.denser):
        assert choice is not None
        again = advise_anchors(with_settings(spec, choice.settings), SMALL)
        assert again is not None
        assert again.present is not None
        assert again.present.shapes == choice.shapes
        assert (again.present.recall, again.present.mean_iou) == (choice.recall, choice.mean_iou)


@pytest.mark.parametrize(
    "settings",
    [
        (_AUTO,),
        ("model.head.kind=retinanet", "model.head.anchor_scale=auto"),
        (_BY_LEVEL,),
        ("model.head.kind=retinanet", "model.head.anchor_scale=auto-by-level"),
    ],
)
def test_anchors_to_be_found_become_those_of_the_advice(settings: tuple[str, ...]) -> None:
    spec = _spec(*settings)
    advice = advise_anchors(spec, SMALL)
    assert advice is not None
    assert advice.present is None
    assert advice.found is (advice.by_level if settings[-1].endswith("level") else advice.fitted)
    found = build_anchor_fit(with_fitted_anchors(spec, SMALL))
    assert found is not None
    assert advice.found is not None
    assert found.anchors == advice.found.shapes
    with pytest.raises(SpecError, match=r"anchor_scale: is auto(-by-level)?, which only"):
        build_anchor_fit(spec)


def _of_sizes(*sides: float) -> CocoAnnotations:
    """Pictures of 640x480, each with a square of each size in a row."""
    annotations = make_annotations(40, boxes_a_picture=len(sides))
    boxes = annotations.boxes.copy().reshape(-1, len(sides), 4)
    boxes[..., 2:] = boxes[..., :2] + np.array(sides)[:, None]
    boxes[..., [1, 3]] += np.arange(40)[:, None, None]
    return replace(annotations, boxes=boxes.reshape(-1, 4))


def test_a_scale_for_each_level_is_advised_where_it_gains_on_boxes_that_it_was_not_fitted_to() -> None:
    # 50, 70 and 98 pixels, factors of 1.4, which one scale's anchors, factors of 2, cannot have all
    advice = advise_anchors(_spec("augmentation.scales_pixels=[[640, 480]]"), _of_sizes(50, 70, 98))
    assert advice is not None
    assert advice.by_level is not None
    assert advice.fitted.recall < 0.8
    assert advice.by_level.recall == 1
    scales = advice.by_level.shapes.scale
    assert isinstance(scales, tuple)
    sides = [scale * stride for scale, stride in zip(scales, (4, 8, 16, 32, 64), strict=True)]
    assert sides == sorted(sides)
    assert f"{advice.fitted.recall:.1%} with --set" in describe_anchors(advice)
    assert describe_anchors(advice).endswith(f", 100.0% with {advice.by_level.options}")
    again = advise_anchors(
        _spec("augmentation.scales_pixels=[[640, 480]]", *advice.by_level.settings), _of_sizes(50, 70, 98)
    )
    assert again is not None
    assert again.present is not None
    assert (again.present.shapes, again.present.recall) == (advice.by_level.shapes, 1)
    assert str(again.present.shapes).startswith(f"scales {scales[0]:g} {scales[1]:g} ")


def test_no_scale_for_each_level_is_advised_where_one_scale_does() -> None:
    advice = advise_anchors(_spec("augmentation.scales_pixels=[[640, 480]]"), _of_sizes(40, 80, 160))
    assert advice is not None
    assert advice.by_level is None
    assert advice.to_json()["by_level"] is None


@pytest.mark.parametrize("value", ["[8, 8, 8, 8]", "[8, 8, 8, 8, 0]", "-1", "often", "[8, 8, 8, 8, auto]"])
def test_scales_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(SpecError, match="is a number above 0, 5 of them, or auto or auto-by-level"):
        _spec(f"model.head.rpn.anchor_scale={value}")


def test_every_pyramid_has_as_many_levels_as_scales_can_be_given() -> None:
    assert NUM_LEVELS == OF_PYRAMIDS


def test_a_plan_and_a_spec_without_auto_stay_as_they_are(tmp_path: Path) -> None:
    spec = _spec()
    assert with_fitted_anchors(spec, SMALL) is spec
    assert plan_of(tmp_path, _AUTO, train=SMALL).num_steps == plan_of(tmp_path, train=SMALL).num_steps


def test_without_boxes_or_anchors_there_is_nothing_to_fit() -> None:
    empty = make_annotations(3, empty=3)
    keeping = "data.keep_pictures_without_boxes=true"
    assert advise_anchors(_spec("model.head.kind=fcos"), SMALL) is None
    assert advise_anchors(_spec(keeping), empty) is None
    with pytest.raises(DataError, match=r"has no box to fit anchors to; set model\.head\.rpn\.anchor_scale"):
        with_fitted_anchors(_spec(_AUTO, keeping), empty)


@pytest.mark.parametrize("setting", [_AUTO, _BY_LEVEL])
def test_a_run_goes_on_with_the_anchors_that_it_began_with(tmp_path: Path, setting: str) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(overwrite=False)
    folder.spec_file.write_text(format_spec(with_fitted_anchors(_spec(setting), SMALL)))
    settings = saved_anchors(_spec(setting), folder)
    resumed = with_settings(_spec(setting), settings)
    check_same_spec(resumed, folder.read_spec(), file=folder.spec_file)
    assert format_spec(resumed) == folder.read_spec()
    assert saved_anchors(_spec(), folder) == ()


def test_the_plan_says_what_boxes_reach_and_with_which_anchors_more_would() -> None:
    advice = advise_anchors(_spec(), SMALL)
    auto = advise_anchors(_spec(_AUTO), SMALL)
    assert advice is not None
    assert advice.present is not None
    assert auto is not None
    assert describe_anchors(advice) == (
        f"scale 8, ratios 0.5, 1, 2; {advice.present.recall:.1%} of the boxes reach an IoU of 0.7, "
        f"{advice.fitted.recall:.1%} with --set model.head.rpn.anchor_scale={advice.fitted.shapes.scale:g} "
        f"--set 'model.head.rpn.anchor_aspect_ratios={list(advice.fitted.shapes.aspect_ratios)}'"
    )
    assert describe_anchors(auto).startswith(f"auto: {auto.fitted.shapes}; {auto.fitted.recall:.1%} of the")
