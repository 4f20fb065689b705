"""The pictures in which a detector does worst."""

from dataclasses import dataclass

import numpy as np

from hrdet_cli.engine.evaluation.analysis.analysis import Analysis


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
    comparison, matching = analysis.comparison, analysis.matching
    num_pictures = len(comparison.picture_sizes)
    taken = comparison.scores >= analysis.min_score
    is_false = matching.is_false & taken
    is_missed = matching.counts.copy()
    is_missed[matching.objects[matching.is_right & taken]] = False
    of_found, of_true = comparison.found.pictures, comparison.truth.pictures
    num_false = np.bincount(of_found[is_false], minlength=num_pictures)
    num_missed = np.bincount(of_true[is_missed], minlength=num_pictures)
    num_objects = np.bincount(of_true[matching.counts], minlength=num_pictures)
    badness = num_missed + np.bincount(
        of_found[is_false], weights=comparison.scores[is_false], minlength=num_pictures
    )
    worst = np.argsort(-badness, kind="stable")[:number].tolist()
    return [
        BadPicture(
            picture,
            int(num_false[picture]),
            int(num_missed[picture]),
            int(num_objects[picture]),
            float(badness[picture]),
        )
        for picture in worst
        if badness[picture] > 0
    ]
