"""What a report is about: detections of a data set, what they score, and what was found out about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.analysis import Analysis
from hrdet_cli.engine.evaluation.analysis.errors import KINDS, ErrorKind
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.runs.origin import Origin

FEW_OBJECTS = 30
"""What is measured of fewer objects is mostly chance."""

NOTHING = "–"


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a report is about.

    Attributes:
        origin: What the detections are made from.
        metrics: Of boxes, and perhaps of masks.
        analyses: Likewise.
        class_names: Of the K labels.
        notices: What else there is to know, a sentence each.
    """

    origin: Origin
    metrics: CocoMetrics
    analyses: Mapping[Task, Analysis]
    class_names: Sequence[str]
    notices: Sequence[str]

    @property
    def boxes(self) -> Analysis:
        """That of boxes."""
        return self.analyses["box"]

    @property
    def is_lvis(self) -> bool:
        """Whether LVIS's rules hold."""
        return self.boxes.comparison.federated is not None

    def name_of(self, number: int) -> str:
        """The name of class ``number`` of the comparisons, which is not its label."""
        return self.class_names[int(self.boxes.prepared.labels[number])]

    def of(self, task: Task) -> str:
        """What goes behind a caption to say what of the detections it is about: nothing without masks."""
        return f" of {'boxes' if task == 'box' else 'masks'}" if len(self.analyses) > 1 else ""


@dataclass(frozen=True, slots=True, eq=False)
class ClassCounts:
    """What detections from the operating point's score on are worth, class by class.

    Attributes:
        num_objects: ``(K,)`` to be found.
        num_pictures: ``(K,)`` with such an object.
        num_found: ``(K,)`` of these objects.
        num_false: ``(K,)`` false detections of each kind of error, by kind; of missed objects those that are
            not found.
    """

    num_objects: NDArray[np.int64]
    num_pictures: NDArray[np.int64]
    num_found: NDArray[np.int64]
    num_false: Mapping[ErrorKind, NDArray[np.int64]]


def count_by_class(analysis: Analysis) -> ClassCounts:
    """Count; classes have the numbers of the comparison."""
    comparison, matching = analysis.comparison, analysis.matching
    truth, num_classes = comparison.truth, comparison.num_classes
    taken = comparison.scores >= analysis.min_score

    def by_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(classes, minlength=num_classes).astype(np.int64)

    pairs = np.unique(np.stack([truth.pictures, truth.classes], axis=1)[matching.counts], axis=0)
    num_objects = by_class(truth.classes[matching.counts])
    num_found = by_class(comparison.found.classes[matching.is_right & taken])
    num_false: dict[ErrorKind, NDArray[np.int64]] = {
        kind: by_class(comparison.found.classes[analysis.errors.is_of(kind) & taken]) for kind in KINDS
    }
    return ClassCounts(
        num_objects=num_objects,
        num_pictures=by_class(pairs[:, 1]),
        num_found=num_found,
        num_false={**num_false, "missed": num_objects - num_found},
    )
