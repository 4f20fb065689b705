"""Whether scores are what they seem: shares of detections that are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import hotcoco

from hrdet_cli.engine.evaluation.analysis.matching import OVERLAP

_NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class ScoreBin:
    """Detections with scores between two values.

    Attributes:
        low: Lowest score.
        high: Highest score, which belongs to the next bin but for the last one.
        number: Detections.
        mean_score: Of them; 0 where there are none.
        share_right: Of them, at an overlap of one half; 0 where there are none.
    """

    low: float
    high: float
    number: int
    mean_score: float
    share_right: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far scores are from shares that are right.

    Attributes:
        bins: Ten of one width from 0 to 1.
        expected_error: Mean distance between score and share over all detections, in [0, 1] (ECE; Naeini,
            Cooper and Hauskrecht, 2015).
    """

    bins: Sequence[ScoreBin]
    expected_error: float

    @property
    def number(self) -> int:
        """Detections that are right or false."""
        return sum(one.number for one in self.bins)


def calibrate(evaluation: hotcoco.COCOeval) -> Calibration:
    """Compare scores with shares.

    Args:
        evaluation: Evaluated; scores lie between 0 and 1.
    """
    found = evaluation.calibration(n_bins=_NUM_BINS, iou_threshold=OVERLAP)
    bins = [
        ScoreBin(
            low=float(one["bin_lower"]),
            high=float(one["bin_upper"]),
            number=int(one["count"]),
            mean_score=float(one["avg_confidence"]),
            share_right=float(one["avg_accuracy"]),
        )
        for one in found["bins"]
    ]
    return Calibration(tuple(bins), float(found["ece"]))
