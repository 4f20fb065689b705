"""Points: where they lie, and what they learn."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

from pydantic import PositiveFloat

from hrdet_cli.specs.base import Problem, Spec


class PointSpec(Spec):
    """What learns from points, the middles of cells, has; the base of such sections."""

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
