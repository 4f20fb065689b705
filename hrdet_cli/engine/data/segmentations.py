"""What objects cover of their pictures, as an annotation file has it, in flat arrays."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Segmentations:
    """Polygons of some of B objects, runs of pixels of others; a crowd region has neither.

    COCO's training file has 40 million coordinates. As arrays they are 170 MB, which worker processes share
    without copying; as Python's numbers they would be 1.3 GB.

    Attributes:
        corners: ``(P, 2)`` float32, x and y of the corners of all polygons, in pixels of their pictures.
        corner_offsets: ``(Q + 1,)`` int64; polygon q has corners ``corner_offsets[q]:corner_offsets[q + 1]``.
        polygon_offsets: ``(B + 1,)`` int64; object b has polygons
            ``polygon_offsets[b]:polygon_offsets[b + 1]``, and what any of them encloses.
        runs: ``(R,)`` int32, COCO's run lengths: down the columns of the picture, beginning with the number
            of pixels outside, then inside, and so on until its last pixel.
        run_offsets: ``(B + 1,)`` int64; object b has runs ``run_offsets[b]:run_offsets[b + 1]``.
    """

    corners: NDArray[np.float32]
    corner_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]
    runs: NDArray[np.int32]
    run_offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of objects B."""
        return len(self.run_offsets) - 1

    @property
    def has_polygons(self) -> NDArray[np.bool_]:
        """``(B,)`` which objects have polygons."""
        return np.diff(self.polygon_offsets) > 0

    @property
    def has_runs(self) -> NDArray[np.bool_]:
        """``(B,)`` which objects have runs."""
        return np.diff(self.run_offsets) > 0

    @property
    def covers_something(self) -> NDArray[np.bool_]:
        """``(B,)`` which objects have a polygon that is more than a line along an axis, or a pixel inside."""
        covers = np.zeros(len(self), dtype=np.bool_)
        if len(self.corners):
            extents = np.maximum.reduceat(self.corners, self.corner_offsets[:-1])
            extents -= np.minimum.reduceat(self.corners, self.corner_offsets[:-1])
            owners = np.repeat(np.arange(len(self)), np.diff(self.polygon_offsets))
            covers[owners[(extents > 0).all(axis=1)]] = True
        has_runs = self.has_runs
        if has_runs.any():
            starts = self.run_offsets[:-1][has_runs]
            is_odd = np.zeros(len(self.runs), dtype=np.bool_)
            is_odd[1::2] = True
            is_inside = is_odd ^ np.repeat(starts % 2 == 1, np.diff(self.run_offsets)[has_runs])
            covers[has_runs] = np.logical_or.reduceat(is_inside & (self.runs > 0), starts)
        return covers

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Those of some objects, in the order of the rows."""
        polygons, polygon_offsets = _gather(self.polygon_offsets, rows)
        corners, corner_offsets = _gather(self.corner_offsets, polygons)
        runs, run_offsets = _gather(self.run_offsets, rows)
        return type(self)(
            corners=self.corners[corners],
            corner_offsets=corner_offsets,
            polygon_offsets=polygon_offsets,
            runs=self.runs[runs],
            run_offsets=run_offsets,
        )


def _gather(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all items of some rows, one row after the other, and the offsets of these rows in them."""
    lengths = offsets[rows + 1] - offsets[rows]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.arange(new_offsets[-1]) + np.repeat(offsets[rows] - new_offsets[:-1], lengths)
    return positions, new_offsets
