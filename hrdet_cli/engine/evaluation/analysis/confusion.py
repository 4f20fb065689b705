"""Which classes are taken for which."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.matching import OVERLAP, Matching
from hrdet_cli.engine.evaluation.back_ends import prepare_hotcoco
from hrdet_cli.engine.evaluation.comparison import Comparison, Objects


@dataclass(frozen=True, slots=True)
class Confused:
    """Objects of one class that are taken for another.

    Attributes:
        true: Their class.
        found: What they are taken for.
        number: How many.
        share: Of all objects of their class.
    """

    true: int
    found: int
    number: int
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """What objects of K classes are taken for.

    Attributes:
        counts: ``(K + 1, K + 1)`` int64: rows are the classes of objects and, last, what is no object;
            columns what they are taken for and, last, objects without a detection.
        min_score: Of the detections that count.
    """

    counts: NDArray[np.int64]
    min_score: float

    @property
    def num_objects(self) -> NDArray[np.int64]:
        """``(K,)`` objects of each class."""
        total: NDArray[np.int64] = self.counts[:-1].sum(axis=1)
        return total

    def most_confused(self) -> Iterator[Confused]:
        """Pairs of classes, those with the most objects first."""
        between = self.counts[:-1, :-1].copy()
        np.fill_diagonal(between, 0)
        pairs = np.flatnonzero(between)
        for pair in pairs[np.argsort(-between.ravel()[pairs], kind="stable")].tolist():
            true, found = divmod(pair, len(between))
            number = int(between[true, found])
            yield Confused(true, found, number, number / int(self.num_objects[true]))


def confuse(comparison: Comparison, matching: Matching, *, min_score: float) -> Confusion:
    """Match detections with objects of any class at an overlap of one half, the best scores first.

    Detections that COCO's or LVIS's rules leave unjudged are left out, and so are crowd regions.
    """
    rows = np.flatnonzero(matching.is_judged & (comparison.scores >= min_score))
    found = comparison.found
    judged = Objects(
        pictures=found.pictures[rows],
        classes=found.classes[rows],
        boxes=found.boxes[rows],
        areas=found.areas[rows],
        masks=[found.masks[row] for row in rows.tolist()] if found.masks else (),
    )
    evaluation = prepare_hotcoco(replace(comparison, found=judged, scores=comparison.scores[rows]))
    found_counts = evaluation.confusion_matrix(iou_thr=OVERLAP, max_det=max(len(rows), 1))["matrix"]
    return Confusion(found_counts.astype(np.int64), min_score)
