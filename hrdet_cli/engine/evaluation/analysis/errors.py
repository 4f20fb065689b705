"""What kind of error each false detection and each missed object is, and what each kind costs.

The kinds are those of TIDE (Bolya et al., 2020, https://arxiv.org/abs/2008.08115, section 2.2): hotcoco says
how much average precision would rise if all errors of a kind were mended; here every detection gets its kind,
by the same rules, so that it can be drawn and counted by class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import hotcoco
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.matching import OVERLAP, Matching
from hrdet_cli.engine.evaluation.analysis.overlaps import PictureOverlaps, overlaps_by_picture
from hrdet_cli.engine.evaluation.comparison import Comparison

BACKGROUND_OVERLAP = 0.1
"""A detection that overlaps an object no more than that has nothing to do with it."""

ErrorKind = Literal["class", "location", "both", "duplicate", "background", "missed"]
"""Class: at the place of an object of another class. Location: it overlaps an object of its class too little.
Both: it overlaps one of another class, too little. Duplicate: a second one of an object that is found.
Background: nothing is there. Missed: an object without a right detection or one of the first two kinds."""

KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
NO_ERROR = -1

_HOTCOCO_NAMES: Mapping[ErrorKind, str] = {
    "class": "Cls",
    "location": "Loc",
    "both": "Both",
    "duplicate": "Dupe",
    "background": "Bkg",
    "missed": "Miss",
}
_CLASS, _LOCATION, _BOTH, _DUPLICATE, _BACKGROUND, _ = range(len(KINDS))


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """The errors among D detections and G objects.

    Attributes:
        kinds: ``(D,)`` int8, place in `KINDS` of each false detection's kind; `NO_ERROR` of the others.
        partners: ``(D,)`` int64, the object that a false detection is taken for, or repeats; -1 for none.
        overlaps: ``(D,)`` float64, how much a false detection overlaps its partner; 0 for none.
        is_missed: ``(G,)`` bool.
        nearest: ``(G,)`` float64, how much the nearest detection of whatever class and score overlaps.
    """

    kinds: NDArray[np.int8]
    partners: NDArray[np.int64]
    overlaps: NDArray[np.float64]
    is_missed: NDArray[np.bool_]
    nearest: NDArray[np.float64]

    def is_of(self, kind: ErrorKind) -> NDArray[np.bool_]:
        """``(D,)`` which detections are errors of a kind; no detection is a missed object."""
        of_kind: NDArray[np.bool_] = self.kinds == KINDS.index(kind)
        return of_kind


def find_errors(comparison: Comparison, matching: Matching) -> Errors:
    """Find out the kind of every error."""
    kinds = np.full(len(comparison.scores), NO_ERROR, dtype=np.int8)
    partners = np.full(len(kinds), -1, dtype=np.int64)
    overlaps = np.zeros(len(kinds))
    nearest = np.zeros(len(comparison.is_crowd))
    for picture in overlaps_by_picture(comparison):
        if not len(picture.true):
            kinds[picture.found[matching.is_false[picture.found]]] = _BACKGROUND
            continue
        nearest[picture.true] = picture.ious.max(axis=0, initial=0)
        is_false = matching.is_false[picture.found]
        rows = picture.found[is_false]
        if len(rows):
            found = _classify(picture, is_false, comparison, matching)
            kinds[rows], partners[rows], overlaps[rows] = found
    is_missed = matching.counts & ~matching.is_found
    is_missed[partners[(kinds == _CLASS) | (kinds == _LOCATION)]] = False
    return Errors(kinds, partners, overlaps, is_missed, nearest)


def _classify(
    picture: PictureOverlaps, is_false: NDArray[np.bool_], comparison: Comparison, matching: Matching
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Kinds, partners and overlaps of the false detections of a picture, which has objects."""
    ious = picture.ious[is_false]
    classes = comparison.found.classes[picture.found[is_false]]
    is_same = classes[:, None] == comparison.truth.classes[picture.true][None]
    same = np.where(is_same, ious, 0)
    other = np.where(is_same | comparison.is_crowd[picture.true], 0, ious)
    taken = np.where(is_same & matching.is_found[picture.true] & (ious >= OVERLAP), ious, 0)
    best_same, best_other = same.max(axis=1), other.max(axis=1)
    kinds = np.select(
        [
            (best_same >= BACKGROUND_OVERLAP) & (best_same <= OVERLAP),
            best_other >= OVERLAP,
            taken.max(axis=1) > 0,
            best_other <= BACKGROUND_OVERLAP,
        ],
        [_LOCATION, _CLASS, _DUPLICATE, _BACKGROUND],
        default=_BOTH,
    )
    by_kind = np.stack([other, same, other, taken, np.zeros_like(ious)])[kinds, np.arange(len(kinds))]
    places, overlaps = by_kind.argmax(axis=1), by_kind.max(axis=1)
    return kinds, np.where(overlaps > 0, picture.true[places], -1), overlaps


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """What the errors of a kind cost.

    Attributes:
        average_precision: By how much AP50 would rise if all of them were mended, in [0, 1].
        number: How many there are.
    """

    average_precision: float
    number: int


def cost_errors(evaluation: hotcoco.COCOeval) -> dict[ErrorKind, ErrorCost]:
    """What each kind of error costs, each mended by itself: the sum is not what all of them cost.

    Args:
        evaluation: Evaluated.
    """
    found = evaluation.tide_errors(pos_thr=OVERLAP, bg_thr=BACKGROUND_OVERLAP)
    return {
        kind: ErrorCost(float(found["delta_ap"][name]), int(found["counts"][name]))
        for kind, name in _HOTCOCO_NAMES.items()
    }
