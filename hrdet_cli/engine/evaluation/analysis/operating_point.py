"""The score from which on detections are best taken."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.matching import Matching


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Detections from a score on.

    Attributes:
        score: The lowest one that is taken.
        precision: Share of them that are right.
        recall: Share of the objects that they find.
    """

    score: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def best_operating_point(matching: Matching, scores: NDArray[np.float64]) -> OperatingPoint | None:
    """Where F1 is highest over all classes together, at an overlap of one half.

    Args:
        matching: Of D detections.
        scores: ``(D,)``.

    Returns:
        None where nothing is to be found, or no detection is right.
    """
    num_objects = int(matching.counts.sum())
    judged = np.flatnonzero(matching.is_judged)
    order = judged[np.argsort(-scores[judged], kind="stable")]
    num_right = np.cumsum(matching.is_right[order])
    if not num_objects or not len(order) or not num_right[-1]:
        return None
    is_last = np.append(np.diff(scores[order]) != 0, True)  # equal scores are taken together
    f1 = np.where(is_last, 2 * num_right / (np.arange(1, len(order) + 1) + num_objects), -1)
    best = int(f1.argmax())
    return OperatingPoint(
        score=float(scores[order[best]]),
        precision=float(num_right[best] / (best + 1)),
        recall=float(num_right[best] / num_objects),
    )
