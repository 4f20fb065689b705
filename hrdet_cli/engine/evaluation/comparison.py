"""Objects that were found against those that there are, and the precision and recall that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.federated import Federated

Task = Literal["box", "mask"]
"""What of an object is found: overlaps are those of boxes, or of masks."""

IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
RECALLS: NDArray[np.float64] = np.linspace(0, 1, 101)
SIZES: Mapping[str, tuple[float, float]] = {
    "": (0, 1e10),
    "s": (0, 32**2),
    "m": (32**2, 96**2),
    "l": (96**2, 1e10),
}
"""Areas of all objects, and of COCO's small, medium and large ones, in square pixels; ends belong to both."""

PackedRuns = Mapping[str, Any]
"""A mask as COCO packs it: its picture's ``size``, height and width, and ``counts``, bytes or a text."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """N objects of one side.

    Attributes:
        pictures: ``(N,)`` int64 in ``0 .. M-1``.
        classes: ``(N,)`` int64 in ``0 .. K-1``.
        boxes: ``(N, 4)`` float64, x, y, width and height in pixels.
        areas: ``(N,)`` float64 in square pixels: what size an object is of.
        masks: N of them; none where boxes are compared.
    """

    pictures: NDArray[np.int64]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    masks: Sequence[PackedRuns] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What was found and what there is.

    Of detections with the same score the one in the picture with the lower number comes first, and in a
    picture the earlier one.

    Attributes:
        task: What overlaps are those of.
        truth: G objects to find.
        is_crowd: ``(G,)`` bool; a detection in such a region is neither right nor wrong.
        found: D detections.
        scores: ``(D,)`` float64.
        picture_sizes: ``(M, 2)`` height and width.
        num_classes: K.
        limits: So many of the best detections of a class in a picture are looked at; ascending.
        federated: For which classes pictures were looked through, by the numbers here: LVIS's rules hold.
        ranges: Lowest and highest area of the objects of each size by its name, first of all objects, which
            has none; ends belong to both sides.
    """

    task: Task
    truth: Objects
    is_crowd: NDArray[np.bool_]
    found: Objects
    scores: NDArray[np.float64]
    picture_sizes: NDArray[np.int32]
    num_classes: int
    limits: Sequence[int]
    federated: Federated | None = None
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: SIZES)

    def groups_of(self, objects: Objects) -> NDArray[np.int64]:
        """``(N,)`` a number for the picture and class of each object of either side."""
        return self.group_of(objects.pictures, objects.classes)

    def group_of(self, pictures: NDArray[np.int64], classes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of pictures and classes."""
        return pictures * self.num_classes + classes


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Precision over recall, for T overlaps, R recalls, K classes, A sizes of objects and L limits.

    Attributes:
        precision: ``(T, R, K, A, L)`` float64: the best from a recall on; -1 where there is nothing to find.
        recall: ``(T, K, A, L)`` float64: the highest; -1 where there is nothing to find.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
