"""Precision and recall of resamples.

Detections are matched once, for a match concerns one picture alone. A resample counts each detection and
each object as often as their picture was drawn. That is exact, as if the picture were there so many times:
copies of a detection have one score, and of the precisions between them the last right one's is the best.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.averages import Average
from hrdet_cli.engine.evaluation.comparison import IOU_THRESHOLDS, RECALLS, SIZES, Curves
from hrdet_cli.engine.evaluation.resampling.draws import Draws
from hrdet_cli.engine.evaluation.resampling.matching import ClassMatches, Matches
from hrdet_cli.engine.evaluation.resampling.overlaps import Rows

Values = NDArray[np.float64]

_EPSILON = np.spacing(1)
"""pycocotools divides by a number of detections and this."""


class CurveSampler:
    """Precision and recall of resamples.

    Args:
        matches: Of K classes, at A sizes, T overlaps and L limits.
        averages: The numbers that are wanted; what none of them is of is not computed.
    """

    def __init__(self, matches: Matches, averages: Iterable[Average]) -> None:
        self._size = (len(matches.classes), len(SIZES), len(matches.limits))
        ranked: dict[tuple[int, int], bool] = {}
        for average in averages:
            place = average.size, average.limit
            ranked[place] = ranked.get(place, False) or not average.of_recalls
        self._parts = [
            _Part.of(found, place=(number, size, limit), limit=matches.limits[limit], is_ranked=is_ranked)
            for number, found in enumerate(matches.classes)
            for (size, limit), is_ranked in ranked.items()
        ]

    def curves(self, draws: Draws) -> Curves:
        """Those of B resamples.

        Returns:
            Both ``(T, B, K, A, L)``; in place of precisions at 101 recalls their mean. -1 where a resample
            has nothing to find, and where nothing is wanted.
        """
        shape = (len(IOU_THRESHOLDS), len(draws), *self._size)
        curves = Curves(precision=np.full(shape, -1.0), recall=np.full(shape, -1.0))
        for part in self._parts:
            part.add_to(curves, draws)
        return curves


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """What counts of a class at a size and a limit.

    Attributes:
        place: Positions of class, size and limit.
        is_ranked: Whether precision is wanted.
        pictures: ``(D',)`` of the detections that are neither ignored at all overlaps nor behind the last
            right one, the best first; where precision is not wanted, of those that are right at one.
        right: For each overlap which of these are right.
        ignored: Likewise which are neither right nor wrong.
        object_pictures: ``(G',)`` of the objects that count.
    """

    place: tuple[int, int, int]
    is_ranked: bool
    pictures: Rows
    right: Sequence[Rows]
    ignored: Sequence[Rows]
    object_pictures: Rows

    @classmethod
    def of(cls, found: ClassMatches, *, place: tuple[int, int, int], limit: int, is_ranked: bool) -> "_Part":
        _, size, _ = place
        is_right = found.is_right[size] & (found.ranks < limit)
        is_wanted = is_right.any(axis=0)
        if is_ranked:
            is_before = np.logical_or.accumulate(is_wanted[::-1])[::-1]
            is_wanted = is_before & (found.ranks < limit) & ~found.is_ignored[size].all(axis=0)
        rows = np.flatnonzero(is_wanted)
        return cls(
            place=place,
            is_ranked=is_ranked,
            pictures=found.pictures[rows],
            right=[np.flatnonzero(at_overlap) for at_overlap in is_right[:, rows]],
            ignored=[np.flatnonzero(at_overlap) for at_overlap in found.is_ignored[size][:, rows]],
            object_pictures=found.object_pictures[found.is_counted[size]],
        )

    def add_to(self, curves: Curves, draws: Draws) -> None:
        """Fill in its place; -1 stays where a resample has no object."""
        num_objects = draws.take(self.object_pictures, axis=1).sum(axis=1)
        is_there = num_objects > 0
        draws, num_objects = draws[is_there], num_objects[is_there, None]
        counts = draws.take(self.pictures, axis=1)
        num_found = _running_sums(counts) if self.is_ranked else None
        for overlap, (right, ignored) in enumerate(zip(self.right, self.ignored, strict=True)):
            at = (overlap, is_there, *self.place)
            num_right = _running_sums(counts.take(right, axis=1))
            curves.recall[at] = num_right[:, -1] / num_objects[:, 0]
            if num_found is not None:
                before = np.searchsorted(ignored, right)
                num_ignored = _running_sums(counts.take(ignored, axis=1)).take(before, axis=1)
                num_judged = num_found.take(right + 1, axis=1) - num_ignored
                precisions = num_right[:, 1:] / (num_judged + _EPSILON)
                curves.precision[at] = _mean_over_recalls(precisions, num_right[:, 1:] / num_objects)


def _running_sums(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """``(B, D + 1)`` sums of the first 0, 1, ... of each row's D counts."""
    sums = np.zeros((len(counts), counts.shape[1] + 1), dtype=np.int32)
    np.cumsum(counts, axis=1, out=sums[:, 1:])
    return sums


def _mean_over_recalls(precisions: Values, recalls: Values) -> Values:
    """``(B,)`` mean of the best precision from each of 101 recalls on; 0 from one that is not reached.

    Args:
        precisions: ``(B, D)`` at right detections alone, for it falls from one to the next.
        recalls: ``(B, D)``, rising.
    """
    best = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    num_reached = np.searchsorted(RECALLS, recalls, side="right")
    num_new = np.diff(num_reached, axis=1, prepend=0)
    means: Values = np.einsum("bd,bd->b", num_new, best) / len(RECALLS)
    return means
