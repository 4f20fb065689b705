"""The pictures in which a detector does worst."""

from dataclasses import dataclass

import numpy as np

from hrdet_cli.engine.evaluation.analysis.analysis import Analysis
from hrdet_cli.engine.evaluation.analysis.picture_errors import count_errors


@dataclass(frozen=True, slots=True)
class BadPicture:
    """A picture with errors.

    Attributes:
        picture: Its number.
        num_false: Detections from the operating point's score on that are false.
        num_missed: Objects that none of these finds.
        num_objects: Objects to be found.
        badness: Missed objects, and the scores of false detections, added up.
    """

    picture: int
    num_false: int
    num_missed: int
    num_objects: int
    badness: float


def worst_pictures(analysis: Analysis, number: int) -> list[BadPicture]:
    """Pictures with the most errors, the worst first; fewer than asked for where the others have none."""
    comparison = analysis.comparison
    errors = count_errors(comparison, analysis.matching, min_score=analysis.min_score)
    of_false = np.bincount(
        comparison.found.pictures[errors.is_false],
        weights=comparison.scores[errors.is_false],
        minlength=len(errors.num_missed),
    )
    badness = errors.num_missed + of_false
    worst = np.argsort(-badness, kind="stable")[:number].tolist()
    return [
        BadPicture(
            picture,
            int(errors.num_false[picture]),
            int(errors.num_missed[picture]),
            int(errors.num_objects[picture]),
            float(badness[picture]),
        )
        for picture in worst
        if badness[picture] > 0
    ]
