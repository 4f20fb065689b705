"""What an exported file says of itself."""

import json

from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.experiment import ExperimentSpec

_BOXES = "(x1, y1, x2, y2) in pixels of the input; pixel i covers [i, i + 1), so the width is x2 - x1"
_OF_TILES = {"side_pixels", "overlap_pixels", "with_whole_pictures"}
"""How pictures are cut to be looked at."""


def describe_detector(trained: TrainedDetector) -> dict[str, str]:
    """What whoever has only the file should know, as texts."""
    spec = trained.spec
    return {
        "class_names": json.dumps(trained.class_names, ensure_ascii=False),
        "category_ids": json.dumps(trained.category_ids),
        "labels": "0 .. K-1, in the order of class_names",
        "boxes": _BOXES,
        **_describe_masks(spec),
        "box_corners": spec.model.box_corners,
        "input": "RGB, 0 .. 255, not normalised",
        "scale_pixels": json.dumps(spec.evaluation.scale_pixels),
        "resize": "to the largest size of its shape within scale_pixels (longer, shorter edge), either way; "
        f"{spec.data.resize_filter} filter, edges rounded {spec.data.resize_rounding}",
        **({} if spec.data.tiles is None else {"tiles": spec.data.tiles.model_dump_json(include=_OF_TILES)}),
        "preset": spec.name,
    }


def describe_model(trained: TrainedDetector) -> dict[str, str]:
    """The same as `describe_detector`, with ids of the classes in any case: those that results have."""
    return {**describe_detector(trained), "category_ids": json.dumps(trained.ids_in_results)}


def describe_training(trained: TrainedDetector) -> dict[str, str]:
    """The same as `describe_detector`, and how long the weights were trained, where somebody knows."""
    known = {"step": trained.step, "epoch": trained.epoch}
    return {
        **describe_detector(trained),
        **{name: str(value) for name, value in known.items() if value is not None},
    }


def _describe_masks(spec: ExperimentSpec) -> dict[str, str]:
    masks = spec.model.head.masks
    if masks is None:
        return {}
    return {
        "masks": "probabilities of cells that divide the box evenly, row by row from its upper left corner",
        "mask_threshold": json.dumps(masks.spec.threshold),
        "mask_paste": masks.spec.paste,
    }
