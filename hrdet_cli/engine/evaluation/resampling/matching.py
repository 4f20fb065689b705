"""Which detections find an object, by COCO's rules: for each class and picture, at all overlaps and sizes.

pycocotools (``COCOeval.evaluateImg``) goes through the detections of a class in a picture, the best first.
Each takes the object that it overlaps most of those that are still free, at least by the threshold. What
does not count, crowd regions and objects of another size, is taken where nothing else is left; a crowd region
any number of times. Here the first detections of all classes and pictures are looked at together, then the
second ones, and so on. Back ends do the same, and hand out no more than the curves in reasonable time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.comparison import IOU_THRESHOLDS, SIZES, Comparison
from hrdet_cli.engine.evaluation.resampling.federated_rules import may_be_unmarked, rows_looked_at
from hrdet_cli.engine.evaluation.resampling.overlaps import OverlappingPairs, Rows, find_pairs

_LEAST_SIZES, _LARGEST_SIZES = np.array([*SIZES.values()]).T[..., None]
_THRESHOLDS = np.minimum(IOU_THRESHOLDS, 1 - 1e-10)
"""As pycocotools has them: an overlap of exactly one is enough for all."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassMatches:
    """Of one class D detections, as COCO sorts them, and G objects; at A sizes and T overlaps.

    Attributes:
        pictures: ``(D,)`` int64 in ``0 .. M-1``.
        ranks: ``(D,)`` int64: how many detections of the class are better in the same picture.
        scores: ``(D,)`` float64, descending.
        is_right: ``(A, T, D)`` bool: has found an object.
        is_ignored: ``(A, T, D)`` bool: neither right nor wrong.
        object_pictures: ``(G,)`` int64 in ``0 .. M-1``.
        is_counted: ``(A, G)`` bool: of the size, and no crowd region.
    """

    pictures: NDArray[np.int64]
    ranks: NDArray[np.int64]
    scores: NDArray[np.float64]
    is_right: NDArray[np.bool_]
    is_ignored: NDArray[np.bool_]
    object_pictures: NDArray[np.int64]
    is_counted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Of all classes.

    Attributes:
        classes: K, in the order of the comparison's numbers.
        num_pictures: M.
        limits: So many of the best detections of a class in a picture are looked at; ascending.
    """

    classes: Sequence[ClassMatches]
    num_pictures: int
    limits: Sequence[int]


def match(comparison: Comparison) -> Matches:
    """Match all detections; by LVIS's rules where pictures were looked through for some classes alone."""
    truth, found = comparison.truth, comparison.found
    is_counted = ~comparison.is_crowd & _is_of_size(truth.areas)
    rows, ranks = _best_first(comparison, rows_looked_at(comparison))
    pairs = find_pairs(comparison, rows, least=_THRESHOLDS[0])
    has_match, is_right = _match_in_turns(comparison, pairs, is_counted)
    is_no_fault = ~_is_of_size(found.areas) | may_be_unmarked(comparison)
    is_ignored = np.where(has_match, ~is_right, is_no_fault[:, None])
    by_class = np.lexsort((-comparison.scores[rows], found.classes[rows]))
    return Matches(
        [
            ClassMatches(
                pictures=found.pictures[rows[places]],
                ranks=ranks[places],
                scores=comparison.scores[rows[places]],
                is_right=is_right[..., rows[places]],
                is_ignored=is_ignored[..., rows[places]],
                object_pictures=truth.pictures[objects],
                is_counted=is_counted[:, objects],
            )
            for places, objects in zip(
                _split(by_class, found.classes[rows], comparison.num_classes),
                _split(np.argsort(truth.classes, kind="stable"), truth.classes, comparison.num_classes),
                strict=True,
            )
        ],
        num_pictures=len(comparison.picture_sizes),
        limits=comparison.limits,
    )


def _is_of_size(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(A, N)`` whether each of N areas is of each size."""
    is_of_size: NDArray[np.bool_] = (areas >= _LEAST_SIZES) & (areas <= _LARGEST_SIZES)
    return is_of_size


def _best_first(comparison: Comparison, rows: Rows) -> tuple[Rows, Rows]:
    """Rows by picture and class, the best first, as many as the limit; and each one's rank there."""
    found = comparison.found
    rows = rows[np.lexsort((-comparison.scores[rows], found.classes[rows], found.pictures[rows]))]
    is_first = np.diff(comparison.groups_of(found)[rows], prepend=-1) != 0
    ranks = np.arange(len(rows)) - np.maximum.accumulate(np.where(is_first, np.arange(len(rows)), 0))
    is_looked_at = ranks < comparison.limits[-1]
    return rows[is_looked_at], ranks[is_looked_at]


def _match_in_turns(
    comparison: Comparison, pairs: OverlappingPairs, is_counted: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """``(A, T, D)`` which detections have an object, and which have one that counts."""
    per_overlap = (len(SIZES), len(IOU_THRESHOLDS))
    has_match = np.zeros((*per_overlap, len(comparison.scores)), dtype=np.bool_)
    is_right, is_taken = (
        np.zeros_like(has_match),
        np.zeros((*per_overlap, len(comparison.is_crowd)), np.bool_),
    )
    for found, true, overlaps in _turns(comparison, pairs):
        is_possible = (~is_taken[..., true] | comparison.is_crowd[true]) & (overlaps >= _THRESHOLDS[:, None])
        # The last possible one is the best: what counts stands behind what does not.
        places = np.arange(len(true)) + len(true) * is_counted[:, None, true]
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        best = np.maximum.reduceat(np.where(is_possible, places, -1), starts, axis=-1)
        sizes, thresholds, _ = has_one = np.nonzero(best >= 0)
        chosen = best[has_one] % len(true)
        has_match[sizes, thresholds, found[chosen]] = True
        is_right[sizes, thresholds, found[chosen]] = is_counted[sizes, true[chosen]]
        is_taken[sizes, thresholds, true[chosen]] = True
    return has_match, is_right


def _turns(
    comparison: Comparison, pairs: OverlappingPairs
) -> Iterator[tuple[Rows, Rows, NDArray[np.float64]]]:
    """The pairs of the first detection of each class in each picture, then those of the second, and so on.

    Those of one detection stand together, the objects that it overlaps most last.
    """
    number = np.cumsum(np.diff(pairs.found, prepend=-1) != 0)  # of the detection, through all groups
    is_first = np.diff(comparison.groups_of(comparison.found)[pairs.found], prepend=-1) != 0
    turns = number - np.maximum.accumulate(np.where(is_first, number, 0))
    order = np.lexsort((pairs.overlaps, number, turns))
    for rows in np.split(order, np.flatnonzero(np.diff(turns[order])) + 1):
        if len(rows):
            yield pairs.found[rows], pairs.true[rows], pairs.overlaps[rows]


def _split(order: Rows, classes: NDArray[np.int64], num_classes: int) -> list[Rows]:
    """What is sorted by class, class by class."""
    return np.split(order, np.searchsorted(classes[order], np.arange(1, num_classes)))
