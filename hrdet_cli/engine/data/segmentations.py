"""What objects cover of their pictures, as an annotation file has it, in flat arrays."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.run_lengths import look_up_runs
from hrdet_cli.engine.geometry import Window


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

    def extents(self, heights: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Boxes around what objects cover.

        Args:
            heights: ``(B,)`` of their pictures.

        Returns:
            ``(B, 4)``; NaN where there is no polygon and no pixel inside.
        """
        extents = np.full((len(self), 4), np.nan)
        if len(self.corners):
            starts = self.polygon_offsets[:-1][self.has_polygons]
            near = np.minimum.reduceat(self.corners, self.corner_offsets[:-1])
            far = np.maximum.reduceat(self.corners, self.corner_offsets[:-1])
            extents[self.has_polygons, :2] = np.minimum.reduceat(near, starts)
            extents[self.has_polygons, 2:] = np.maximum.reduceat(far, starts)
        for row in np.flatnonzero(self.has_runs & self.covers_something).tolist():
            ends = np.cumsum(self.runs[self.run_offsets[row] : self.run_offsets[row + 1]], dtype=np.int64)
            extents[row] = _extent_of_runs(ends, int(heights[row]))
        return extents

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

    def moved_into(self, window: Window) -> Self:
        """In the pixels of a tile; runs are those of its pixels alone.

        Args:
            window: What the tile shows of the picture that all of them are of.
        """
        if not len(self):
            return self
        columns, rows = np.arange(window.left, window.right), np.arange(window.top, window.bottom)
        runs = [
            _runs_of(look_up_runs(own, columns=columns, rows=rows, height=window.whole.height))
            if len(own)
            else own
            for own in np.split(self.runs, self.run_offsets[1:-1])
        ]
        return replace(
            self,
            corners=self.corners - np.array([window.left, window.top], dtype=np.float32),
            runs=np.concatenate(runs),
            run_offsets=np.cumsum([0, *map(len, runs)], dtype=np.int64),
        )


def _runs_of(bitmap: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The run lengths of ``(rows, columns)``."""
    changes = np.flatnonzero(np.diff(bitmap.ravel(order="F"), prepend=np.uint8(0)))
    return np.diff(np.array([0, *changes, bitmap.size])).astype(np.int32)


def _extent_of_runs(ends: NDArray[np.int64], height: int) -> tuple[int, int, int, int]:
    """The box around the pixels inside, of which there must be some.

    Args:
        ends: ``(R,)`` pixels of the picture up to the end of each run.
        height: Of the picture.
    """
    first, last = ends[: len(ends) // 2 * 2 : 2], ends[1::2] - 1
    is_long = last >= first
    first, last = first[is_long], last[is_long]
    x1, x2 = int(first[0]) // height, int(last[-1]) // height + 1
    if (first // height != last // height).any():  # from one column into the next
        return x1, 0, x2, height
    return x1, int((first % height).min()), x2, int((last % height).max()) + 1


def _gather(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all items of some rows, one row after the other, and the offsets of these rows in them."""
    lengths = offsets[rows + 1] - offsets[rows]
    new_offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    positions = np.arange(new_offsets[-1]) + np.repeat(offsets[rows] - new_offsets[:-1], lengths)
    return positions, new_offsets
