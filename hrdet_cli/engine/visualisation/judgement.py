"""Which detections are right and which objects were found, as COCO judges at an overlap of one half."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.visualisation.rectangles import areas, common_areas

_OVERLAP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class LabelledBoxes:
    """Boxes of one picture with their classes.

    Attributes:
        boxes: ``(B, 4)`` float32 x1, y1, x2, y2 in pixels.
        labels: ``(B,)`` int64.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """What became of D detections and G objects.

    Attributes:
        is_false: ``(D,)`` bool: nobody's, or a second one of an object; those in a crowd are neither right
            nor false.
        is_found: ``(G,)`` bool.
    """

    is_false: NDArray[np.bool_]
    is_found: NDArray[np.bool_]


def judge(found: LabelledBoxes, true: LabelledBoxes, crowd: LabelledBoxes) -> Judgement:
    """Match each detection, in the given order, with the object of its class that it overlaps most.

    Args:
        found: Detections, best first.
        true: Objects; each is found once.
        crowd: Regions of many objects: a detection that lies in one of its class by half is ignored.
    """
    overlaps = np.where(_same_class(found, true), _ious(found.boxes, true.boxes), 0.0)
    shares = np.where(_same_class(found, crowd), _shares_inside(found.boxes, crowd.boxes), 0.0)
    is_found = np.zeros(len(true.boxes), dtype=np.bool_)
    is_false = np.zeros(len(found.boxes), dtype=np.bool_)
    for number, row in enumerate(overlaps):
        free = np.where(is_found, 0.0, row)
        if len(free) and free.max() >= _OVERLAP:
            is_found[free.argmax()] = True
        else:
            is_false[number] = not (shares[number] >= _OVERLAP).any()
    return Judgement(is_false, is_found)


def _same_class(first: LabelledBoxes, second: LabelledBoxes) -> NDArray[np.bool_]:
    is_same: NDArray[np.bool_] = first.labels[:, None] == second.labels[None]
    return is_same


def _ious(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(D, G)`` intersections over unions."""
    common = common_areas(first, second)
    unions = areas(first)[:, None] + areas(second)[None] - common
    return np.divide(common, unions, out=np.zeros_like(common), where=unions > 0)


def _shares_inside(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """``(D, I)`` share of each first box that lies in each second one."""
    common = common_areas(first, second)
    own = np.broadcast_to(areas(first)[:, None], common.shape)
    return np.divide(common, own, out=np.zeros_like(common), where=own > 0)
