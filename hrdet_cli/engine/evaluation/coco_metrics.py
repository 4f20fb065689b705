"""COCO's metrics of boxes and of masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.comparison import Task

NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
"""Names of COCO's twelve numbers in its order: s, m, l are small, medium and large; 1, 10, 100 detections."""


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
        numbers: COCO's twelve by name, in [0, 1], and what there is besides, or LVIS's thirteen; None where
            no ground truth counts.
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
