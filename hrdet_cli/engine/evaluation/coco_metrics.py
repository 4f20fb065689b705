"""COCO's metrics of boxes and of masks, as pycocotools computes them."""

import contextlib
import io
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.ground_truth import read_truth
from hrdet_cli.engine.evaluation.inference import CocoResult
from hrdet_cli.engine.evaluation.proposal_recall import proposal_recalls
from hrdet_cli.errors import DataError

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Names of COCO's twelve numbers in its order: s, m, l are small, medium and large; 1, 10, 100 detections."""

Task = Literal["box", "mask"]
"""What of an object is found: overlaps are those of boxes, or of masks."""

_IOU_TYPES: Mapping[Task, str] = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """Average precision of one class.

    Attributes:
        average_precision: Mean over IoU thresholds 0.50 to 0.95; None without ground truth.
        average_precision_50: At IoU 0.50; None without ground truth.
        num_objects: Number of objects to find, crowd regions not counted.
    """

    average_precision: float | None
    average_precision_50: float | None
    num_objects: int


@dataclass(frozen=True, slots=True, eq=False)
class TaskMetrics:
    """How good the boxes of detections are, or their masks.

    Attributes:
        numbers: COCO's twelve by name, in [0, 1], and what there is besides; None where no ground truth
            counts.
        classes: Per class, in the order of the labels.
        iou_thresholds: ``(T,)`` float64, 0.50 to 0.95.
        recalls: ``(R,)`` float64, 0.00 to 1.00.
        precision: ``(T, R, K)`` float64, over all areas and 100 detections a picture; -1 in classes without
            ground truth.
    """

    numbers: Mapping[str, float | None]
    classes: Mapping[str, ClassMetrics]
    iou_thresholds: NDArray[np.float64]
    recalls: NDArray[np.float64]
    precision: NDArray[np.float64]

    def with_numbers(self, more: Mapping[str, float | None]) -> Self:
        """With more numbers behind the twelve."""
        return replace(self, numbers={**self.numbers, **more})


@dataclass(frozen=True, slots=True, eq=False)
class CocoMetrics:
    """How good detections are.

    Attributes:
        tasks: Of their boxes, and of their masks where masks were looked for.
    """

    tasks: Mapping[Task, TaskMetrics]

    @property
    def numbers(self) -> dict[Task, Mapping[str, float | None]]:
        """COCO's twelve numbers of each task."""
        return {task: metrics.numbers for task, metrics in self.tasks.items()}

    @property
    def num_without_mask(self) -> int:
        """Objects that count for boxes alone, because nobody has said where they are in theirs."""
        nums = {
            task: sum(of_class.num_objects for of_class in metrics.classes.values())
            for task, metrics in self.tasks.items()
        }
        return nums["box"] - nums.get("mask", nums["box"])

    def to_json(self) -> dict[str, Any]:
        """The numbers without the curves, as ``metrics.json`` holds them."""
        return {
            **{task: dict(numbers) for task, numbers in self.numbers.items()},
            "classes": {name: self._class_to_json(name) for name in self.tasks["box"].classes},
        }

    def _class_to_json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for task, metrics in self.tasks.items():
            prefix = "" if task == "box" else f"{task}_"
            of_class = metrics.classes[name]
            found[f"{prefix}AP"] = of_class.average_precision
            found[f"{prefix}AP50"] = of_class.average_precision_50
        return {**found, "num_boxes": self.tasks["box"].classes[name].num_objects}


def score_detections(
    annotations: CocoAnnotations,
    results: Sequence[CocoResult],
    *,
    left_out: Collection[int] = (),
    with_masks: bool = False,
) -> CocoMetrics:
    """Compare detections with the ground truth.

    All pictures of the annotation file count, but for those left out, also those without a detection. Boxes
    that training drops as too thin count too, as in everybody's COCO numbers. Annotations without ``area``
    get their box's, or their mask's. An object without a mask counts for boxes alone. Where classes are not
    told apart, the boxes' numbers have recalls of more detections, as proposals are measured.

    Args:
        annotations: Ground truth, as `load_coco` read it; its file is read again for what training drops.
        results: As `to_coco_results` writes them; only read. May be empty.
        left_out: Ids of pictures that do not count, for nobody has looked at them.
        with_masks: Whether masks are scored too; each result has one then.

    Raises:
        DataError: A result names a picture or a category that the ground truth does not have, a segmentation
            that is to be scored with is none, or the file has changed since it was loaded.
    """
    _refuse_unknown(annotations, results)
    truth = [
        item for item in read_truth(annotations, with_masks=with_masks) if item["image_id"] not in left_out
    ]
    if not annotations.tells_classes:
        truth = [{**item, "category_id": annotations.category_ids[0]} for item in truth]
    tasks: dict[Task, TaskMetrics] = {"box": _score("box", annotations, truth, results)}
    if not annotations.tells_classes:
        tasks["box"] = tasks["box"].with_numbers(proposal_recalls(truth, results))
    if with_masks:
        with_mask = [item for item in truth if "segmentation" in item]
        tasks["mask"] = _score("mask", annotations, with_mask, results)
    return CocoMetrics(tasks)


def _score(
    task: Task,
    annotations: CocoAnnotations,
    truth: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
) -> TaskMetrics:
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(
            _index(annotations, _completed(truth, task)),
            _index(annotations, _completed(results, task)),
            _IOU_TYPES[task],
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return _metrics_from(evaluation, annotations, truth)


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


def _completed(items: Iterable[Mapping[str, Any]], task: Task) -> list[dict[str, Any]]:
    """Copies of annotations or results with all that pycocotools needs.

    Numbers from 1 replace the ids, because pycocotools takes a match with id 0 for no match. A detection's
    area, like that of an annotation without one, is its box's or its mask's, whichever is scored.
    """
    return [
        {
            **item,
            "id": number,
            "area": _area_of(item, task) if item.get("area") is None else item["area"],
            "iscrowd": item.get("iscrowd", 0),
        }
        for number, item in enumerate(items, start=1)
    ]


def _area_of(item: Mapping[str, Any], task: Task) -> float:
    if task == "mask":
        return float(coco_mask.area(item["segmentation"]))
    _, _, width, height = item["bbox"]
    return float(width * height)


def _index(annotations: CocoAnnotations, items: list[dict[str, Any]]) -> COCO:
    sizes = zip(annotations.image_ids.tolist(), annotations.sizes.tolist(), strict=True)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number, "height": height, "width": width} for number, (height, width) in sizes],
        "categories": [{"id": number} for number in annotations.category_ids],
        "annotations": items,
    }
    coco.createIndex()
    return coco


def _metrics_from(
    evaluation: COCOeval, annotations: CocoAnnotations, truth: Sequence[Mapping[str, Any]]
) -> TaskMetrics:
    """Name the numbers; pycocotools sorts classes by id and writes -1 for "no ground truth"."""
    parameters = evaluation.params
    column_by_id = {category_id: column for column, category_id in enumerate(parameters.catIds)}
    columns = [column_by_id[category_id] for category_id in annotations.category_ids]
    all_areas, most_detections = 0, -1
    precision = evaluation.eval["precision"][:, :, columns, all_areas, most_detections]
    num_objects = Counter(item["category_id"] for item in truth if not item["iscrowd"])
    return TaskMetrics(
        numbers={name: _none_if_absent(value) for name, value in zip(NUMBERS, evaluation.stats, strict=True)},
        classes={
            name: ClassMetrics(
                average_precision=_none_if_absent(precision[:, :, label].mean()),
                average_precision_50=_none_if_absent(precision[0, :, label].mean()),
                num_objects=num_objects[category_id],
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
