"""What stands out in an analysis, in a few sentences for the top of a report."""

from collections.abc import Iterator

import numpy as np

from hrdet_cli.engine.evaluation.analysis.errors import ErrorKind
from hrdet_cli.runs.evaluation_report.subject import FEW_OBJECTS, Subject, count_by_class
from hrdet_cli.wording import counted, first_and_count

_WORTH_SAYING = 0.005
"""Of AP50."""
_CLEARLY_OFF, _CLEARLY_APART = 0.1, 0.2
"""Of scores from shares that are right; of shares that are found."""
_FEWEST_CONFUSED, _LEAST_SHARE_CONFUSED = 3, 0.05
_NOUNS: dict[ErrorKind, str] = {
    "class": "class errors",
    "location": "location errors",
    "both": "errors of class and location",
    "duplicate": "duplicates",
    "background": "detections of background",
    "missed": "missed objects",
}


def what_stands_out(subject: Subject, *, num_suspects: int) -> list[str]:
    """Sentences, the weightiest first; none where a detector makes no error."""
    if not len(subject.boxes.comparison.scores):
        return ["Nothing was detected."]
    if subject.boxes.operating_point is None:
        return ["No detection is right at an overlap of one half."]
    return [
        *_costs(subject),
        *_classes(subject),
        *_confusion(subject),
        *_slices(subject),
        *_calibration(subject),
        *_suspects(num_suspects),
    ]


def _costs(subject: Subject) -> Iterator[str]:
    costs = sorted(subject.boxes.costs.items(), key=lambda item: -item[1].average_precision)
    told = [
        f"{_NOUNS[kind]} ({cost.average_precision:.3f})"
        for kind, cost in costs[:3]
        if cost.average_precision >= _WORTH_SAYING
    ]
    if told:
        yield f"What costs most AP50: {', '.join(told)}."


def _classes(subject: Subject) -> Iterator[str]:
    """Classes that nothing is found of: each costs its whole share, which no kind of error shows."""
    counts = count_by_class(subject.boxes)
    matching, comparison = subject.boxes.matching, subject.boxes.comparison
    ever_found = np.bincount(comparison.truth.classes[matching.is_found], minlength=comparison.num_classes)
    has_objects = counts.num_objects > 0
    never = np.flatnonzero(has_objects & (ever_found == 0)).tolist()
    if never:
        cost = len(never) / int(has_objects.sum())
        names = first_and_count([subject.name_of(number) for number in never])
        one = counted(len(never), "class is never found", "classes are never found")
        yield f"{one}: {names}. That alone costs up to {cost:.3f} of AP50."


def _confusion(subject: Subject) -> Iterator[str]:
    pair = next(
        (one for one in subject.boxes.confusion.most_confused() if one.number >= 3 and one.share >= 0.05),
        None,
    )
    if pair is not None:
        yield (
            f"{subject.name_of(pair.true)} is taken for {subject.name_of(pair.found)} most often: "
            f"{counted(pair.number, 'object')}, {pair.share:.0%} of its class."
        )


def _slices(subject: Subject) -> Iterator[str]:
    """The slice of each property that is found least, where that is clearly less than in the best one."""
    for axis in subject.boxes.axes:
        known = [
            (one.share_found, one)
            for one in axis.slices
            if one.share_found is not None and one.num_objects >= FEW_OBJECTS
        ]
        if len(known) < 2:
            continue
        least, worst = min(known, key=lambda item: item[0])
        most, best = max(known, key=lambda item: item[0])
        if most - least >= _CLEARLY_APART:
            yield f"Found by {axis.name}: {least:.0%} ({worst.name}) to {most:.0%} ({best.name})."


def _calibration(subject: Subject) -> Iterator[str]:
    calibration = subject.boxes.calibration
    used = [one for one in calibration.bins if one.number and one.low >= subject.boxes.min_score]
    total = sum(one.number for one in used)
    if not total:
        return
    off = sum(one.number * (one.mean_score - one.share_right) for one in used) / total
    if abs(off) >= _CLEARLY_OFF:
        how = "too high" if off > 0 else "too low"
        yield f"Scores are {how}: by {abs(off):.0%} on average from the score on that is best for use."


def _suspects(num_suspects: int) -> Iterator[str]:
    if num_suspects:
        suspects = counted(num_suspects, "annotation is suspect", "annotations are suspect")
        yield f"{suspects}, contradicted by the detector. Errors of the data cost AP too."
