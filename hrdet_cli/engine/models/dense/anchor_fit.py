"""How closely anchors can fit boxes, without laying all anchors of a canvas, and without torch.

What a box and an anchor of a given shape have in common is the product of two lengths, and each falls as the
distance of the two centres on its axis grows. So of all anchors of one shape on one level, the one on the
nearest column and the nearest row overlaps the box most: a few anchors for each box are enough, and the
result is exact.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorShapes
from hrdet_cli.engine.models.necks.levels import PyramidLevels

Vector = NDArray[np.float64]
Pixels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBoxes:
    """B boxes, each with the picture and the canvas it lies on.

    Attributes:
        boxes: ``(B, 4)`` in canvas pixels.
        pictures: ``(B, 2)`` height and width of its placed picture.
        canvases: ``(B, 2)`` height and width of its canvas.
    """

    boxes: Vector
    pictures: Pixels
    canvases: Pixels

    def take(self, rows: slice) -> Self:
        """Some of them."""
        return replace(
            self, boxes=self.boxes[rows], pictures=self.pictures[rows], canvases=self.canvases[rows]
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorFit:
    """Anchors, as far as they take part in training.

    Attributes:
        anchors: Their shapes, strides and layout.
        allowed_border: How far an anchor may reach out of its picture, in pixels; None allows any distance.
        levels: The cells of each level that the anchors lie on.
    """

    anchors: AnchorShapes
    allowed_border: float | None
    levels: PyramidLevels

    def best_iou(self, placed: PlacedBoxes) -> Vector:
        """The highest overlap (intersection over union) of each box with an anchor.

        Returns:
            ``(B,)`` float64; 0 where no anchor takes part.
        """
        best = np.zeros(len(placed.boxes))
        cells = self.anchors.cells.astype(np.float64)
        for level, shapes in enumerate(cells):
            for left, top, right, bottom in shapes.tolist():
                common = [
                    self._longest_common(placed, axis=axis, level=level, start=start, end=end)
                    for axis, start, end in ((0, left, right), (1, top, bottom))
                ]
                intersection = common[0] * common[1]
                areas = (placed.boxes[:, 2:] - placed.boxes[:, :2]).prod(axis=1)
                anchor_area = (right - left) * (bottom - top)
                best = np.maximum(best, intersection / (areas + anchor_area - intersection))
        return best

    def _longest_common(
        self, placed: PlacedBoxes, *, axis: int, level: int, start: float, end: float
    ) -> Vector:
        """``(B,)``: most that a box shares on one axis with any anchor of a shape; x is axis 0.

        The anchor of the cell at the origin goes from ``start`` to ``end``.
        """
        low, high = placed.boxes[:, axis], placed.boxes[:, axis + 2]
        picture, canvas = placed.pictures[:, 1 - axis], placed.canvases[:, 1 - axis]
        step, num_cells = self._cells(picture, canvas, level=level)
        first, last = np.zeros(len(low)), num_cells - 1.0
        if self.allowed_border is not None:
            first = np.maximum(first, np.ceil((-self.allowed_border - start) / step))
            last = np.minimum(last, self._last_before((picture + self.allowed_border - end) / step))
        nearest = np.round((low + high - start - end) / 2 / step)
        shift = np.clip(nearest, first, np.maximum(first, last)) * step
        common = np.minimum(high, end + shift) - np.maximum(low, start + shift)
        return np.where(first <= last, common.clip(min=0), 0.0)

    def _last_before(self, cells: Vector) -> Vector:
        """The last whole number that is not beyond the border, or before it where that is outside."""
        outside = self.anchors.layout.border_end == "outside"
        return np.ceil(cells) - 1 if outside else np.floor(cells)

    def _cells(self, picture: Pixels, canvas: Pixels, *, level: int) -> tuple[Pixels, Pixels]:
        """Pixels from one cell to the next, and the number of cells whose anchors belong to the picture."""
        layout = self.anchors.layout
        num_cells = self.levels.num_cells(canvas, level=level)
        step = np.full_like(canvas, self.levels.strides[level])
        if layout.step == "canvas":
            step = canvas // np.maximum(num_cells, 1)
        if layout.area == "canvas":
            return step, num_cells
        if layout.area == "padded":
            picture = -(-picture // CANVAS_DIVISOR_PIXELS) * CANVAS_DIVISOR_PIXELS
        return step, np.minimum(num_cells, -(-picture // step))
