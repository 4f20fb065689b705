"""Detections are scored: compared with the ground truth, and the curves averaged to COCO's numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.averages import averages_of
from hrdet_cli.engine.evaluation.back_ends import BackEnd, compare
from hrdet_cli.engine.evaluation.coco_metrics import ClassMetrics, CocoMetrics, TaskMetrics
from hrdet_cli.engine.evaluation.comparison import IOU_THRESHOLDS, RECALLS, Curves, Task
from hrdet_cli.engine.evaluation.preparation import PreparedComparison


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
    averages = averages_of(comparison)
    of_coco = curves.precision[..., averages[0].size, averages[0].limit]
    num_objects = np.bincount(
        comparison.truth.classes[~comparison.is_crowd], minlength=comparison.num_classes
    )
    return TaskMetrics(
        numbers={average.name: _mean(average.values_in(curves)) for average in averages},
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


def _mean(values: NDArray[np.float64]) -> float | None:
    """Of what there is something to find for, in the order in which pycocotools adds it up."""
    counted: NDArray[Any] = values[values > -1]
    return float(counted.mean()) if len(counted) else None
