"""The levels of a pyramid as numbers: their strides, and the cells that a canvas has on each.

Does not import torch: what is known before a detector is built asks here, and so do the necks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

NUM_LEVELS = 5
"""Of every pyramid, as published."""

FinestStride = Literal[4, 8]
"""Heads that cut regions out start at 4, heads that predict at every cell at 8."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PyramidLevels:
    """Levels, finest first.

    Attributes:
        strides: Picture pixels per feature pixel of each level.
        pooled_strides: What each level was pooled to, where pooling drops an incomplete last row and column;
            a convolution with a stride, which keeps them, may have come after it. 1 drops nothing.
    """

    strides: tuple[int, ...]
    pooled_strides: tuple[int, ...]

    def num_cells(self, canvas: NDArray[np.int64], *, level: int) -> NDArray[np.int64]:
        """Rows or columns of a level on canvases with these edges in pixels, multiples of 32."""
        stride, pooled = self.strides[level], self.pooled_strides[level]
        return -(-(canvas // pooled) // (stride // pooled))


def fpn_levels(finest_stride: FinestStride) -> PyramidLevels:
    """FPN's, none of which drops anything."""
    return PyramidLevels(strides=_strides(finest_stride), pooled_strides=(1,) * NUM_LEVELS)


def hrfpn_levels(finest_stride: FinestStride, *, hides_padding: bool = False) -> PyramidLevels:
    """HRFPN's, all pooled from stride 4; with ``hides_padding`` what is incomplete stays."""
    strides = _strides(finest_stride)
    pooled = (1,) * NUM_LEVELS if hides_padding else _strides(4)
    return PyramidLevels(strides=strides, pooled_strides=pooled)


def _strides(finest: int) -> tuple[int, ...]:
    return tuple(finest * 2**level for level in range(NUM_LEVELS))
