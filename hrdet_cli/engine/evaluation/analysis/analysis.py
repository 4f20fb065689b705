"""Everything that is found out about what detections are worth, in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.calibration import Calibration, calibrate
from hrdet_cli.engine.evaluation.analysis.confusion import Confusion, confuse
from hrdet_cli.engine.evaluation.analysis.errors import (
    ErrorCost,
    ErrorKind,
    Errors,
    cost_errors,
    find_errors,
)
from hrdet_cli.engine.evaluation.analysis.matching import Matching, match
from hrdet_cli.engine.evaluation.analysis.operating_point import OperatingPoint, best_operating_point
from hrdet_cli.engine.evaluation.analysis.slices import SliceAxis, slice_up
from hrdet_cli.engine.evaluation.back_ends import evaluate_with_hotcoco
from hrdet_cli.engine.evaluation.comparison import Comparison
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS, PreparedComparison

_SCORE_OF_NOTHING = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What is found out of the boxes of detections, or of their masks.

    Attributes:
        prepared: What was compared, with COCO's or LVIS's limit of detections.
        matching: Which detections are right, at an overlap of one half.
        errors: What the others are.
        costs: Of each kind of error, by the fall of AP50.
        operating_point: The score from which on detections are best taken; None where none is right.
        confusion: Of classes, from that score on.
        calibration: Of all scores.
        axes: AP of slices, with the share found from that score on.
    """

    prepared: PreparedComparison
    matching: Matching
    errors: Errors
    costs: Mapping[ErrorKind, ErrorCost]
    operating_point: OperatingPoint | None
    confusion: Confusion
    calibration: Calibration
    axes: Sequence[SliceAxis]

    @property
    def comparison(self) -> Comparison:
        """What was compared."""
        return self.prepared.comparison

    @property
    def min_score(self) -> float:
        """The operating point's; one half where there is none."""
        return _min_score(self.operating_point)


def analyse(prepared: PreparedComparison, *, useful_shares: NDArray[np.float64] | None = None) -> Analysis:
    """Find out why the average precision is what it is; hotcoco has most of the numbers.

    Args:
        prepared: Boxes or masks of M pictures.
        useful_shares: ``(M,)`` share of the detector's canvas that each picture fills, in [0, 1], in the
            order of the annotations.
    """
    comparison = prepared.comparison
    if comparison.federated is None:
        comparison = replace(comparison, limits=COCO_LIMITS[-1:])
    evaluation = evaluate_with_hotcoco(comparison)
    matching = match(evaluation, comparison)
    point = best_operating_point(matching, comparison.scores)
    return Analysis(
        prepared=replace(prepared, comparison=comparison),
        matching=matching,
        errors=find_errors(comparison, matching),
        costs=cost_errors(evaluation),
        operating_point=point,
        confusion=confuse(comparison, matching, min_score=_min_score(point)),
        calibration=calibrate(evaluation),
        axes=slice_up(
            evaluation,
            comparison,
            matching,
            min_score=_min_score(point),
            is_left_out=prepared.is_left_out,
            useful_shares=None if useful_shares is None else useful_shares[prepared.picture_indices],
        ),
    )


def _min_score(point: OperatingPoint | None) -> float:
    return _SCORE_OF_NOTHING if point is None else point.score
