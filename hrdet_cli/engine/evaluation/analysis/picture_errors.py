"""How many errors there are in each picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.matching import Matching
from hrdet_cli.engine.evaluation.comparison import Comparison

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PictureErrors:
    """Of M pictures, with the detections from a score on.

    Attributes:
        is_false: ``(D,)`` bool, the detections that are false.
        num_false: ``(M,)`` how many of these.
        num_missed: ``(M,)`` objects that no detection finds.
        num_objects: ``(M,)`` objects to be found.
    """

    is_false: NDArray[np.bool_]
    num_false: Counts
    num_missed: Counts
    num_objects: Counts


def count_errors(comparison: Comparison, matching: Matching, *, min_score: float) -> PictureErrors:
    """Count what is false and what is missed.

    Args:
        comparison: What was compared.
        matching: Of it.
        min_score: The lowest score that is taken.
    """
    is_taken = comparison.scores >= min_score
    is_false = matching.is_false & is_taken
    is_missed = matching.counts.copy()
    is_missed[matching.objects[matching.is_right & is_taken]] = False
    num_pictures = len(comparison.picture_sizes)

    def by_picture(pictures: NDArray[np.int64]) -> Counts:
        return np.bincount(pictures, minlength=num_pictures).astype(np.int64)

    return PictureErrors(
        is_false=is_false,
        num_false=by_picture(comparison.found.pictures[is_false]),
        num_missed=by_picture(comparison.truth.pictures[is_missed]),
        num_objects=by_picture(comparison.truth.pictures[matching.counts]),
    )
