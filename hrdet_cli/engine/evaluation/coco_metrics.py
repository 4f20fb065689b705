"""COCO's box metrics, as pycocotools computes them."""

import contextlib
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data.annotation_file import annotation_file_of, without_cycle_search
from hrdet_cli.engine.data.annotation_values import AREA, BOX, FLAG, ID
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.inference import CocoResult
from hrdet_cli.errors import DataError

BOX_METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Names of COCO's twelve numbers in its order: s, m, l are small, medium and large; 1, 10, 100 detections."""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Average precision of one class.

    Attributes:
        average_precision: Mean over IoU thresholds 0.50 to 0.95; None without ground truth.
        average_precision_50: At IoU 0.50; None without ground truth.
        num_boxes: Number of ground-truth boxes, crowd regions not counted.
    """

    average_precision: float | None
    average_precision_50: float | None
    num_boxes: int


@dataclass(frozen=True, slots=True, eq=False)
class CocoMetrics:
    """How good detections are.

    Attributes:
        box: COCO's twelve numbers by name, in [0, 1]; None where no ground truth counts.
        classes: Per class, in the order of the labels.
        iou_thresholds: ``(T,)`` float64, 0.50 to 0.95.
        recalls: ``(R,)`` float64, 0.00 to 1.00.
        precision: ``(T, R, K)`` float64, over all areas and 100 detections a picture; -1 in classes without
            ground truth.
    """

    box: Mapping[str, float | None]
    classes: Mapping[str, ClassMetrics]
    iou_thresholds: NDArray[np.float64]
    recalls: NDArray[np.float64]
    precision: NDArray[np.float64]

    def to_json(self) -> dict[str, Any]:
        """The numbers without the curves, as ``metrics.json`` holds them."""
        classes = {
            name: {
                "AP": metrics.average_precision,
                "AP50": metrics.average_precision_50,
                "num_boxes": metrics.num_boxes,
            }
            for name, metrics in self.classes.items()
        }
        return {"box": dict(self.box), "classes": classes}


def score_detections(
    annotations: CocoAnnotations, results: Sequence[CocoResult], *, left_out: Collection[int] = ()
) -> CocoMetrics:
    """Compare detections with the ground truth.

    All pictures of the annotation file count, but for those left out, also those without a detection. Boxes
    that training drops as too thin count too, as in everybody's COCO numbers. Annotations without ``area``
    get their box's.

    Args:
        annotations: Ground truth, as `load_coco` read it; its file is read again for what training drops.
        results: As `to_coco_results` writes them; only read. May be empty.
        left_out: Ids of pictures that do not count, for nobody has looked at them.

    Raises:
        DataError: A result names a picture or a category that the ground truth does not have, or the
            file has changed since it was loaded.
    """
    _refuse_unknown(annotations, results)
    truth = [item for item in _truth_of(annotations) if item["image_id"] not in left_out]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(
            _index(annotations, truth),
            _index(annotations, [_completed(result, row) for row, result in enumerate(results, start=1)]),
            "bbox",
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return _metrics_from(evaluation, annotations, truth)


def _truth_of(annotations: CocoAnnotations) -> list[dict[str, Any]]:
    """What pycocotools needs of the annotation file's boxes, by the reader that `load_coco` has."""
    try:
        raw = annotations.path.read_bytes()
    except OSError as error:
        raise DataError(f"{annotations.path} cannot be read any more: {error.strerror}") from error
    if hashlib.sha256(raw).hexdigest() != annotations.fingerprint:
        raise DataError(f"{annotations.path} has changed since it was loaded; evaluate again")
    with without_cycle_search():
        table = annotation_file_of(raw, path=annotations.path).annotations
        kinds = {"image_id": ID, "category_id": ID, "bbox": BOX, "area": AREA, "iscrowd": FLAG}
        columns = [table.column(key, kind) for key, kind in kinds.items()]
        rows = enumerate(zip(*columns, strict=True), start=1)
        return [_completed(dict(zip(kinds, values, strict=True)), number) for number, values in rows]


def _refuse_unknown(annotations: CocoAnnotations, results: Sequence[CocoResult]) -> None:
    image_ids, category_ids = set(annotations.image_ids.tolist()), set(annotations.category_ids)
    for row, result in enumerate(results):
        for key, value, known in (
            ("image_id", result["image_id"], image_ids),
            ("category_id", result["category_id"], category_ids),
        ):
            if value not in known:
                raise DataError(
                    f"result {row} has {key} {value}, which {annotations.path} does not have: score "
                    "detections with the annotation file of the pictures they were made from"
                )


def _completed(item: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A copy of an annotation or result with all that pycocotools needs.

    Numbers from 1 replace the ids, because pycocotools takes a match with id 0 for no match.
    """
    _, _, width, height = item["bbox"]
    area = item.get("area")
    return {
        **item,
        "id": number,
        "area": width * height if area is None else area,
        "iscrowd": item.get("iscrowd", 0),
    }


def _index(annotations: CocoAnnotations, boxes: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in annotations.image_ids.tolist()],
        "categories": [{"id": number} for number in annotations.category_ids],
        "annotations": boxes,
    }
    coco.createIndex()
    return coco


def _metrics_from(
    evaluation: COCOeval, annotations: CocoAnnotations, truth: Sequence[Mapping[str, Any]]
) -> CocoMetrics:
    """Name the numbers; pycocotools sorts classes by id and writes -1 for "no ground truth"."""
    parameters = evaluation.params
    column_by_id = {category_id: column for column, category_id in enumerate(parameters.catIds)}
    columns = [column_by_id[category_id] for category_id in annotations.category_ids]
    all_areas, most_detections = 0, -1
    precision = evaluation.eval["precision"][:, :, columns, all_areas, most_detections]
    num_boxes = Counter(item["category_id"] for item in truth if not item["iscrowd"])
    return CocoMetrics(
        box={name: _none_if_absent(value) for name, value in zip(BOX_METRICS, evaluation.stats, strict=True)},
        classes={
            name: ClassMetrics(
                average_precision=_none_if_absent(precision[:, :, label].mean()),
                average_precision_50=_none_if_absent(precision[0, :, label].mean()),
                num_boxes=num_boxes[category_id],
            )
            for label, (name, category_id) in enumerate(
                zip(annotations.class_names, annotations.category_ids, strict=True)
            )
        },
        iou_thresholds=parameters.iouThrs,
        recalls=parameters.recThrs,
        precision=precision,
    )


def _none_if_absent(value: float) -> float | None:
    return None if value < 0 else float(value)
