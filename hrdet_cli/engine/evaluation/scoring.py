"""Detections are scored: compared with the ground truth, and the curves averaged to COCO's numbers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.federated import FREQUENCIES
from hrdet_cli.engine.evaluation.back_ends import BackEnd, compare
from hrdet_cli.engine.evaluation.coco_metrics import ClassMetrics, CocoMetrics, TaskMetrics
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.comparison import IOU_THRESHOLDS, RECALLS, SIZES, Curves, Task
from hrdet_cli.engine.evaluation.preparation import (
    COCO_LIMITS,
    LVIS_LIMITS,
    PreparedComparison,
    prepare_comparisons,
)


def score_detections(
    annotations: CocoAnnotations,
    detections: DetectionTable,
    *,
    left_out: Collection[int] = (),
    more_limits: Sequence[int] = (),
    back_end: BackEnd = "hotcoco",
) -> CocoMetrics:
    """Compare detections with the ground truth; `prepare_comparisons` says what of both counts.

    Args:
        annotations: As for `prepare_comparisons`.
        detections: Likewise.
        left_out: Likewise.
        more_limits: Likewise; their recalls come behind the twelve numbers, with the precision and the
            recalls of sizes of the last.
        back_end: What compares; both give the same numbers.

    Raises:
        ValueError: As `prepare_comparisons`.
    """
    prepared = prepare_comparisons(annotations, detections, left_out=left_out, more_limits=more_limits)
    return score_prepared(prepared, annotations.class_names, back_end=back_end)


def score_prepared(
    prepared: Mapping[Task, PreparedComparison], class_names: Sequence[str], *, back_end: BackEnd = "hotcoco"
) -> CocoMetrics:
    """Compare what has been prepared. LVIS's annotations are scored by LVIS's rules; `compare` has them.

    Args:
        prepared: Of boxes, and perhaps of masks.
        class_names: Of the K labels.
        back_end: What compares; both give the same numbers.
    """
    tasks = {
        task: _metrics_of(compare(one.comparison, back_end), one, class_names)
        for task, one in prepared.items()
    }
    return CocoMetrics(tasks)


def _metrics_of(curves: Curves, prepared: PreparedComparison, class_names: Sequence[str]) -> TaskMetrics:
    comparison, columns = prepared.comparison, np.argsort(prepared.labels)
    federated = comparison.federated
    of_coco = curves.precision[..., 0, len(COCO_LIMITS) - 1 if federated is None else -1]
    averaged = (
        _averaged(curves, comparison.limits)
        if federated is None
        else _averaged_as_lvis(curves, federated.frequencies)
    )
    num_objects = np.bincount(
        comparison.truth.classes[~comparison.is_crowd], minlength=comparison.num_classes
    )
    return TaskMetrics(
        numbers={name: _mean(values) for name, values in averaged},
        classes={
            name: ClassMetrics(
                average_precision=_mean(of_coco[:, :, column]),
                average_precision_50=_mean(of_coco[0, :, column]),
                num_objects=int(num_objects[column]),
            )
            for name, column in zip(class_names, columns.tolist(), strict=True)
        },
        iou_thresholds=IOU_THRESHOLDS,
        recalls=RECALLS,
        precision=of_coco[:, :, columns],
    )


def _averaged_as_lvis(
    curves: Curves, frequencies: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names of LVIS's numbers in its order, and what each is the mean of."""
    (limit,) = LVIS_LIMITS
    precision, recall = curves.precision[..., 0], curves.recall[..., 0]
    yield from _precisions(precision)
    for frequency in FREQUENCIES:
        yield f"AP{frequency}", precision[:, :, np.array(frequencies) == frequency, 0]
    yield f"AR{limit}", recall[..., 0]
    yield from _by_size("AR{}", recall)


def _averaged(curves: Curves, limits: Sequence[int]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names of all numbers, the twelve in COCO's order first, and what each is the mean of."""
    coco = len(COCO_LIMITS) - 1
    yield from _precisions(curves.precision[..., coco])
    for place, limit in enumerate(COCO_LIMITS):
        yield f"AR{limit}", curves.recall[:, :, 0, place]
    yield from _by_size("AR{}", curves.recall[..., coco])
    more = list(enumerate(limits))[len(COCO_LIMITS) :]
    for place, limit in more[-1:]:
        yield f"AP@{limit}", curves.precision[..., 0, place]
    for place, limit in more:
        yield f"AR{limit}", curves.recall[:, :, 0, place]
    for place, limit in more[-1:]:
        yield from _by_size(f"AR{{}}{limit}", curves.recall[..., place])


def _precisions(precision: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Of ``(T, R, K, sizes)`` precision: what AP, that at two overlaps and that by size are means of."""
    yield "AP", precision[..., 0]
    yield "AP50", precision[IOU_THRESHOLDS == 0.5, ..., 0]
    yield "AP75", precision[IOU_THRESHOLDS == 0.75, ..., 0]
    yield from _by_size("AP{}", precision)


def _by_size(name: str, values: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What belongs to each size of objects, whose letter goes into the name."""
    for column, size in enumerate(SIZES):
        if size:
            yield name.format(size), values[..., column]


def _mean(values: NDArray[np.float64]) -> float | None:
    """Of what there is something to find for, in the order in which pycocotools adds it up."""
    counted: NDArray[Any] = values[values > -1]
    return float(counted.mean()) if len(counted) else None
