"""What an exported file says of itself."""

import json

from hrdet_cli.runs.export.description import describe_detector, describe_model
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.loading import load_spec


def make_detector(preset: str, *, category_ids: tuple[int, ...] | None) -> TrainedDetector:
    return TrainedDetector(
        source="theirs.pth",
        file=None,
        name="theirs",
        spec=load_spec(preset=preset).spec,
        class_names=("cat", "dog"),
        category_ids=category_ids,
        weights={},
        is_of_run=False,
        saved_spec=None,
        changes={},
    )


def test_a_model_has_ids_of_its_classes_in_any_case_and_a_file_of_weights_says_that_nobody_knows() -> None:
    known = make_detector("hrnet-w18", category_ids=(3, 17))
    assert describe_model(known)["category_ids"] == describe_detector(known)["category_ids"] == "[3, 17]"
    unknown = make_detector("hrnet-w18", category_ids=None)
    assert json.loads(describe_model(unknown)["category_ids"]) == [1, 2]
    assert json.loads(describe_detector(unknown)["category_ids"]) is None


def test_masks_come_with_the_rule_by_which_they_are_laid_out() -> None:
    rules = {
        preset: describe_model(make_detector(preset, category_ids=None)).get("mask_paste")
        for preset in ("hrnet-w18", "mask-hrnet-w18", "hrnet2019-mask-w18", "torchvision-mask-r50-fpn")
    }
    assert list(rules.values()) == [None, "grid", "whole_pixels", "torchvision"]
