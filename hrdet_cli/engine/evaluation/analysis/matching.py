"""Which detections are right and which objects were found, as COCO's or LVIS's rules judge."""

from collections.abc import Iterable
from dataclasses import dataclass

import hotcoco
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.comparison import Comparison

OVERLAP = 0.5
"""A detection finds an object of its class that it overlaps so much."""


@dataclass(frozen=True, slots=True, eq=False)
class Matching:
    """What became of D detections and G objects at an overlap of one half.

    Detections that are neither right nor false are in crowd regions, beyond the limit of a picture, or, by
    LVIS's rules, of classes that the picture was not looked through for.

    Attributes:
        is_right: ``(D,)`` bool: it found an object.
        is_false: ``(D,)`` bool: nobody's, or a second one of an object.
        objects: ``(D,)`` int64, the object that a right one found; -1 of the others.
        counts: ``(G,)`` bool: to be found; crowd regions are not.
        is_found: ``(G,)`` bool.
    """

    is_right: NDArray[np.bool_]
    is_false: NDArray[np.bool_]
    objects: NDArray[np.int64]
    counts: NDArray[np.bool_]
    is_found: NDArray[np.bool_]

    @property
    def is_judged(self) -> NDArray[np.bool_]:
        """``(D,)`` bool: right or false."""
        judged: NDArray[np.bool_] = self.is_right | self.is_false
        return judged


def match(evaluation: hotcoco.COCOeval, comparison: Comparison) -> Matching:
    """The matching that COCO's precision at an overlap of one half is made of.

    Args:
        evaluation: Of the comparison, evaluated.
        comparison: What was compared.
    """
    found = evaluation.image_diagnostics(iou_thr=OVERLAP)
    num_found, num_true = len(comparison.scores), len(comparison.is_crowd)
    objects = np.full(num_found, -1, dtype=np.int64)
    objects[_rows(found["dt_match"])] = _rows(found["dt_match"].values())
    is_right = _marked(found["dt_match"], num_found)
    return Matching(
        is_right=is_right,
        is_false=_marked(found["dt_status"], num_found) & ~is_right,
        objects=objects,
        counts=_marked(found["gt_status"], num_true),
        is_found=_marked(found["gt_match"], num_true),
    )


def _rows(ids: Iterable[int]) -> NDArray[np.int64]:
    """Ids count from 1."""
    return np.array(list(ids), dtype=np.int64) - 1


def _marked(ids: Iterable[int], length: int) -> NDArray[np.bool_]:
    marked = np.zeros(length, dtype=np.bool_)
    marked[_rows(ids)] = True
    return marked
