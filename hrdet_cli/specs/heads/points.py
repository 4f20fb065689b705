"""Points: where they lie, and what they learn."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from pydantic import PositiveFloat

from hrdet_cli.specs.base import Fraction, Problem, Spec


class PointSpec(Spec):
    """What learns from points, one in each cell, has; the base of such sections."""

    point_offset: Fraction = 0.5
    """Where in its cell a point lies, in strides: 0.5 is the middle, 0 the top left corner (torchvision)."""
    point_step: Literal["stride", "canvas"] = "stride"
    """From one cell to the next: the level's stride, or (canvas) the canvas's side divided by the number of
    cells and rounded down, as torchvision has it."""
    point_area: Literal["picture", "canvas"] = "picture"
    """Cells whose points train and find: those of the picture, or of the whole canvas (mmdetection)."""
    range_ends_pixels: tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat] = (64, 128, 256, 512)
    """Where the range of distances of one level ends and the next one's begins: a point learns boxes whose
    farthest side is as far away as its level's range says."""
    centre_radius: PositiveFloat | None = None
    """Only points that are less than this many strides away from the centre of a box learn it (centre
    sampling); null lets all inside."""

    def problems(self) -> Iterator[Problem]:
        """Ranges that no box is in."""
        yield from super().problems()
        ends = self.range_ends_pixels
        if any(later <= earlier for earlier, later in pairwise(ends)):
            yield "range_ends_pixels", f"{[*ends]} do not rise, so that a level would have no boxes"
