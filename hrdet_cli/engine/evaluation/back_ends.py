"""What compares detections with the ground truth: hotcoco, or pycocotools, which has the same numbers."""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import hotcoco
import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data.lvis import NEGATIVES, NOT_EXHAUSTIVE
from hrdet_cli.engine.evaluation.comparison import (
    IOU_THRESHOLDS,
    RECALLS,
    Comparison,
    Curves,
    Objects,
    Task,
)

BackEnd = Literal["hotcoco", "pycocotools"]

_IOU_TYPES: Mapping[Task, str] = {"box": "bbox", "mask": "segm"}


def compare(comparison: Comparison, back_end: BackEnd) -> Curves:
    """Precision and recall by COCO's rules, or by LVIS's where pictures were looked through for some classes.

    By LVIS's (`lvis-api`, ``lvis/eval.py``), detections of a class count in pictures alone that have an
    object of it or surely none; where not all of its objects are marked, one that fits none is no fault.
    hotcoco keeps the 300 best detections of a picture, of whatever class.

    Both back ends give the same to the last bit where detections have sides of 0 or of a thousandth of a
    pixel and more, as `DetectionTable` has them. (Two boxes whose areas are too small for a float64 have an
    overlap of 0 / 0, which pycocotools takes for a match, and hotcoco for none.)
    """
    if comparison.federated is not None and back_end != "hotcoco":
        raise ValueError(f"{back_end} does not know LVIS's rules")
    evaluation = _BACK_ENDS[back_end](comparison)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation.evaluate()
        evaluation.accumulate()
    curves = cast("Mapping[str, NDArray[np.float64]]", evaluation.eval)
    return Curves(curves["precision"], curves["recall"])


def evaluate_with_hotcoco(comparison: Comparison) -> hotcoco.COCOeval:
    """An evaluation of hotcoco's, which knows more than curves: detections and objects have ids from 1 on."""
    evaluation = prepare_hotcoco(comparison)
    evaluation.evaluate()
    return evaluation


def prepare_hotcoco(comparison: Comparison) -> hotcoco.COCOeval:
    """The same, not yet evaluated."""
    truth, found = comparison.truth, comparison.found
    true = hotcoco.COCO.from_arrays(
        _images(comparison),
        _categories(comparison),
        truth.pictures,
        truth.classes,
        truth.boxes,
        area=truth.areas,
        iscrowd=comparison.is_crowd.astype(np.int64),
        segmentation=_segmentations(truth),
    )
    table = np.column_stack([found.pictures, found.boxes, comparison.scores, found.classes])
    loaded = true.load_res(table, segmentation=_segmentations(found))
    # Of detections with masks too it takes the boxes for the areas.
    loaded.update_anns(ids=np.arange(1, len(table) + 1), area=found.areas)
    is_lvis = comparison.federated is not None
    evaluation = hotcoco.COCOeval(true, loaded, _IOU_TYPES[comparison.task], lvis_style=is_lvis)
    _set_parameters(evaluation.params, comparison)
    return evaluation


def _segmentations(objects: Objects) -> list[dict[str, Any] | list[list[float]]] | None:
    return [dict(mask) for mask in objects.masks] or None


def _pycocotools_evaluation(comparison: Comparison) -> Any:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _pycocotools_side(comparison, comparison.truth, {"iscrowd": comparison.is_crowd.astype(int)}),
            _pycocotools_side(comparison, comparison.found, {"score": comparison.scores}),
            _IOU_TYPES[comparison.task],
        )
    _set_parameters(evaluation.params, comparison)
    return evaluation


def _set_parameters(parameters: Any, comparison: Comparison) -> None:
    parameters.iouThrs = IOU_THRESHOLDS.tolist()
    parameters.recThrs = RECALLS.tolist()
    parameters.areaRng = [list(ends) for ends in comparison.ranges.values()]
    parameters.areaRngLbl = [size or "all" for size in comparison.ranges]
    parameters.maxDets = list(comparison.limits)


def _pycocotools_side(
    comparison: Comparison, objects: Objects, marks: Mapping[str, NDArray[np.generic]]
) -> COCO:
    columns: dict[str, list[Any]] = {
        "id": list(range(1, len(objects.areas) + 1)),  # which takes a match with id 0 for none
        "image_id": objects.pictures.tolist(),
        "category_id": objects.classes.tolist(),
        "bbox": objects.boxes.tolist(),
        "area": objects.areas.tolist(),
        **{key: values.tolist() for key, values in marks.items()},
    }
    if objects.masks:
        columns["segmentation"] = list(objects.masks)
    coco = COCO()
    coco.dataset = {
        "images": _images(comparison),
        "categories": _categories(comparison),
        "annotations": [
            {"iscrowd": 0, **dict(zip(columns, values, strict=True))}
            for values in zip(*columns.values(), strict=True)
        ],
    }
    coco.createIndex()
    return coco


def _images(comparison: Comparison) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = [
        {"id": number, "height": height, "width": width}
        for number, (height, width) in enumerate(comparison.picture_sizes.tolist())
    ]
    if (federated := comparison.federated) is not None:
        for key, pairs in ((NEGATIVES, federated.negatives), (NOT_EXHAUSTIVE, federated.not_exhaustive)):
            for image in images:
                image[key] = []
            for picture, label in pairs.tolist():
                images[picture][key].append(label)
    return images


def _categories(comparison: Comparison) -> list[dict[str, Any]]:
    categories: list[dict[str, Any]] = [
        {"id": number, "name": str(number)} for number in range(comparison.num_classes)
    ]
    if comparison.federated is not None:
        for category, frequency in zip(categories, comparison.federated.frequencies, strict=True):
            category["frequency"] = frequency
    return categories


_BACK_ENDS: Mapping[BackEnd, Callable[[Comparison], Any]] = {
    "hotcoco": prepare_hotcoco,
    "pycocotools": _pycocotools_evaluation,
}
