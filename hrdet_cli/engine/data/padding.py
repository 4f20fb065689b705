"""Canvases: the size that all pictures of a batch are padded to, at the right and at the bottom.

Three policies. One fixed canvas holds every scale, so that each picture can draw its own; a few canvases fit
better, and then all pictures of a step share a scale, or those that drew similar sizes share a step; or every
batch has a size of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS, Scale, Size
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
        """The canvas of a batch of one orientation, or of any on a square; square pictures fit both.

        Raises:
            DataError: The batch mixes orientations or holds a picture larger than the canvas.
        """
        is_portrait = any(size.is_portrait for size in sizes)
        is_mixed = is_portrait and any(size.width > size.height for size in sizes)
        if is_mixed and self.long != self.short:
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
class StepCanvases:
    """A few canvases, of which a step takes the smallest that holds the pictures of all its processes.

    Attributes:
        canvases: Long and short edges in pixels; each may be turned.
        shares_scale: Whether the pictures of a step share a scale; else each draws its own, as large-scale
            jitter does, and those that then need the same canvas share steps.
    """

    canvases: tuple[Scale, ...]
    shares_scale: bool = True

    def canvas_for(self, sizes: Sequence[Size]) -> Size:
        """The canvas of all pictures of a step, which have one orientation; squares fit both.

        Raises:
            DataError: None of the canvases holds all of them.
        """
        is_portrait = any(size.is_portrait for size in sizes)
        turned = [canvas.turned(portrait=is_portrait) for canvas in self.canvases]
        holding = [canvas for canvas in turned if all(canvas.contains(size) for size in sizes)]
        if not holding:
            largest = Size(max(size.height for size in sizes), max(size.width for size in sizes))
            raise DataError(
                f"pictures that need {largest} fit none of the canvases "
                f"{', '.join(map(str, self.canvases))}. Add a larger canvas or lower the scales."
            )
        return min(holding, key=lambda canvas: (canvas.num_pixels, canvas))


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallestCanvas:
    """The smallest canvas that holds a batch and that the network's strides divide.

    Attributes:
        divisor: Both edges of the canvas are multiples of it, in pixels.
    """

    divisor: int = CANVAS_DIVISOR_PIXELS

    def canvas_for(self, sizes: Sequence[Size]) -> Size:
        """The canvas of a batch of any sizes."""
        return Size(
            height=rounded_up(max(size.height for size in sizes), self.divisor),
            width=rounded_up(max(size.width for size in sizes), self.divisor),
        )


PaddingPolicy = FixedCanvas | StepCanvases | SmallestCanvas


def rounded_up(edge: int, divisor: int = CANVAS_DIVISOR_PIXELS) -> int:
    """The smallest edge of a canvas that is a multiple of ``divisor`` and holds an edge of a picture."""
    return math.ceil(max(edge, MIN_CANVAS_PIXELS) / divisor) * divisor
