"""Canvases: the size that all pictures of a batch are padded to, at the right and at the bottom."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError

MIN_CANVAS_PIXELS = 64
"""Edges of a canvas are no shorter: the pyramid's coarsest level has a stride of 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedCanvas:
    """One canvas for every batch, turned to its orientation: few static shapes, the same on all processes.

    Attributes:
        long: Longer edge in pixels.
        short: Shorter edge in pixels.
    """

    long: int
    short: int

    def canvas_for(self, sizes: Sequence[Size]) -> Size:
        """The canvas of a batch of one orientation; squares fit both.

        Raises:
            DataError: The batch mixes orientations or holds a picture larger than the canvas.
        """
        is_portrait = any(size.is_portrait for size in sizes)
        if is_portrait and any(size.width > size.height for size in sizes):
            raise DataError(f"a batch mixes portrait and landscape pictures: {', '.join(map(str, sizes))}")
        canvas = Scale(self.long, self.short).turned(portrait=is_portrait)
        for size in sizes:
            if not canvas.contains(size):
                raise DataError(
                    f"a picture of {size} does not fit the canvas of {canvas}, width x height. "
                    f"Enlarge the canvas ({self.long}, {self.short}) or lower the scales."
                )
        return canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestCanvas:
    """The smallest canvas that holds a batch and that the network's strides divide.

    Attributes:
        divisor: Both edges of the canvas are multiples of it, in pixels.
    """

    divisor: int = 32

    def canvas_for(self, sizes: Sequence[Size]) -> Size:
        """The canvas of a batch of any sizes."""
        return Size(
            height=self._round_up(max(size.height for size in sizes)),
            width=self._round_up(max(size.width for size in sizes)),
        )

    def _round_up(self, edge: int) -> int:
        return math.ceil(max(edge, MIN_CANVAS_PIXELS) / self.divisor) * self.divisor


PaddingPolicy = FixedCanvas | SmallestCanvas
