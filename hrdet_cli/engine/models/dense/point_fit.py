"""Which boxes any point can learn, without laying all points of a canvas, and without torch.

A point learns a box that it lies inside of and whose farthest side is as far away as its level is meant for.
The farther of the two sides on one axis does not depend on the other axis, so that it is enough to count, for
each axis and level, the points inside the box that are near enough, and those of them that are too near.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hrdet_cli.engine.models.dense.anchor_fit import Pixels, PlacedBoxes, Vector
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.necks.levels import PyramidLevels


@dataclass(frozen=True, kw_only=True, slots=True)
class PointFit:
    """The points of a detector; those in the padding have no box around them.

    Attributes:
        levels: The cells that they lie in.
        layout: Where they lie in these.
        range_ends: As of ``PointMatcher``.
        centre_radius: As of ``PointMatcher``.
    """

    levels: PyramidLevels
    layout: PointLayout
    range_ends: tuple[float, ...]
    centre_radius: float | None

    def can_learn(self, placed: PlacedBoxes) -> Pixels:
        """Whether some point can learn each box, if no smaller one is in its way.

        Returns:
            ``(B,)`` bool.
        """
        found = np.zeros(len(placed.boxes), dtype=bool)
        for level, (least, most) in enumerate(pairwise((0.0, *self.range_ends, np.inf))):
            near, too_near = (
                [self._count(placed, axis=axis, level=level, distance=distance) for axis in (0, 1)]
                for distance in (most, np.nextafter(least, -np.inf))
            )
            found |= near[0] * near[1] > too_near[0] * too_near[1]
        return found

    def _count(self, placed: PlacedBoxes, *, axis: int, level: int, distance: float) -> Vector:
        """``(B,)``: columns of points in a box, no side farther than ``distance``; on axis 1 rows."""
        low, high = placed.boxes[:, axis], placed.boxes[:, axis + 2]
        stride, canvases = self.levels.strides[level], placed.canvases[:, 1 - axis]
        num_cells = self.levels.num_cells(canvases, level=level)
        by_canvas = self.layout.step == "canvas"
        step = canvases // np.maximum(num_cells, 1) if by_canvas else np.full_like(canvases, stride)
        start_at = self.layout.offset * stride
        first, last = high - distance, low + distance
        if self.centre_radius is not None:
            centre, reach = (low + high) / 2, self.centre_radius * stride
            low, high = np.maximum(low, centre - reach), np.minimum(high, centre + reach)
        low, high, first, last = ((end - start_at) / step for end in (low, high, first, last))
        # Strictly inside the box, at most so far from its sides: point i is i steps from the first one.
        start = np.maximum(np.floor(low) + 1, np.ceil(first))
        end = np.minimum(np.ceil(high) - 1, np.floor(last))
        count: Vector = np.minimum(end, num_cells - 1) - np.maximum(start, 0) + 1
        return count.clip(min=0)
