"""How closely anchors can fit boxes, without laying all anchors of a canvas.

What a box and an anchor of a given shape have in common is the product of two lengths, and each falls as the
distance of the two centres on its axis grows. So of all anchors of one shape on one level, the one on the
nearest column and the nearest row overlaps the box most: a few anchors for each box are enough, and the
result is exact.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.models.anchors import AnchorGenerator

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBoxes:
    """B boxes, each with the picture and the canvas it lies on.

    Attributes:
        boxes: ``(B, 4)`` in canvas pixels.
        pictures: ``(B, 2)`` height and width of its placed picture.
        canvases: ``(B, 2)`` height and width of its canvas.
    """

    boxes: Vector
    pictures: NDArray[np.int64]
    canvases: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorFit:
    """The anchors of a region proposal network, as far as they take part in training.

    Attributes:
        anchors: Their shapes and strides.
        allowed_border: How far an anchor may reach out of its picture, in pixels; None allows any distance.
        rounds_up: Whether a level's grid has a last, incomplete row and column where its stride does not
            divide the canvas, as FPN's has and HRFPN's has not.
    """

    anchors: AnchorGenerator
    allowed_border: float | None
    rounds_up: bool

    def best_iou(self, placed: PlacedBoxes) -> Vector:
        """The highest overlap (intersection over union) of each box with an anchor.

        Returns:
            ``(B,)`` float64; 0 where no anchor takes part.
        """
        best = np.zeros(len(placed.boxes))
        cells = self.anchors.cells.double().numpy()
        for stride, shapes in zip(self.anchors.strides, cells, strict=True):
            for left, top, right, bottom in shapes.tolist():
                width, height = right - left, bottom - top
                common = [
                    self._longest_common(placed, axis=axis, stride=stride, length=length)
                    for axis, length in ((0, width), (1, height))
                ]
                intersection = common[0] * common[1]
                areas = (placed.boxes[:, 2:] - placed.boxes[:, :2]).prod(axis=1)
                best = np.maximum(best, intersection / (areas + width * height - intersection))
        return best

    def _longest_common(self, placed: PlacedBoxes, *, axis: int, stride: int, length: float) -> Vector:
        """``(B,)``: most that a box shares on one axis with any anchor of a length there; x is axis 0."""
        low, high = placed.boxes[:, axis], placed.boxes[:, axis + 2]
        picture, canvas = placed.pictures[:, 1 - axis], placed.canvases[:, 1 - axis]
        num_cells = -(-canvas // stride) if self.rounds_up else canvas // stride
        first = np.zeros(len(low))
        last = np.minimum(num_cells, -(-picture // stride)) - 1.0  # centred in the picture, not beside it
        if self.allowed_border is not None:
            first = np.maximum(first, np.ceil((length / 2 - self.allowed_border) / stride))
            last = np.minimum(last, np.floor((picture + self.allowed_border - length / 2) / stride))
        nearest = np.clip(np.round((low + high) / 2 / stride), first, np.maximum(first, last)) * stride
        common = np.minimum(high, nearest + length / 2) - np.maximum(low, nearest - length / 2)
        return np.where(first <= last, common.clip(min=0), 0.0)
