"""Masks of objects, each drawn into the frame of its own box.

A frame has as many cells whatever the size of its box or of the picture: a batch's masks have a static shape,
and take 25 MB where bitmaps of the canvas would take 3.4 GB (16 pictures of 128 boxes). A cell belongs to the
object where its centre does. Polygons and bitmaps are asked at the same points, so that a bitmap and the
polygon around its pixels give the same mask.
"""

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.run_lengths import look_up_runs
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.transforms import Placement, canvas_map, turn_boxes
from hrdet_cli.engine.geometry import Size

FRAME_CELLS = 112
"""Cells of a frame along each side: four for one of the 28 that heads predict."""


def draw_frames(
    segmentations: Segmentations, boxes: NDArray[np.float32], original: Size, placement: Placement
) -> NDArray[np.uint8]:
    """The masks of objects of one picture, moved with it.

    Args:
        segmentations: Of the G objects, in pixels of the original picture.
        boxes: ``(G, 4)`` in canvas pixels, as `move_boxes` moved and clipped them; none is empty.
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        ``(G, M, M)``, rows from the top of the box to its bottom: 1 inside of the object, 0 outside.
    """
    factors, shifts = canvas_map(original, placement)
    upright = turn_boxes(boxes.astype(np.float64), placement.placed, -placement.quarter_turns)
    starts, sides = upright[:, :2], upright[:, 2:] - upright[:, :2]
    frames = np.zeros((len(boxes), FRAME_CELLS, FRAME_CELLS), dtype=np.uint8)
    owners = np.repeat(np.arange(len(boxes)), np.diff(segmentations.polygon_offsets))
    if len(owners):
        rows = np.repeat(owners, np.diff(segmentations.corner_offsets))
        on_canvas = segmentations.corners * factors + shifts
        corners = (on_canvas - starts[rows]) / sides[rows] * FRAME_CELLS
        for owner, filled in zip(
            owners.tolist(), fill_polygons(corners, segmentations.corner_offsets, FRAME_CELLS), strict=True
        ):
            frames[owner] |= filled
    centres = (np.arange(FRAME_CELLS) + 0.5) / FRAME_CELLS
    for row in np.flatnonzero(segmentations.has_runs).tolist():
        points = (starts[row] + centres[:, None] * sides[row] - shifts) / factors
        pixels = np.clip(np.floor(points), 0, (original.width - 1, original.height - 1)).astype(np.int64)
        runs = segmentations.runs[segmentations.run_offsets[row] : segmentations.run_offsets[row + 1]]
        frames[row] = look_up_runs(runs, columns=pixels[:, 0], rows=pixels[:, 1], height=original.height)
    return np.ascontiguousarray(np.rot90(frames, placement.quarter_turns, axes=(1, 2)))


def fill_polygons(
    corners: NDArray[np.float64], corner_offsets: NDArray[np.int64], num_cells: int
) -> NDArray[np.uint8]:
    """Fill polygons on grids of their own, by the even-odd rule at the centres of the cells.

    Each column of centres is crossed from above: every edge that it meets changes outside to inside or back.

    Args:
        corners: ``(P, 2)`` x and y in cells; they may lie far outside of the grid.
        corner_offsets: ``(Q + 1,)`` as `Segmentations` has them; no polygon is without corners.
        num_cells: M, of each side; a multiple of 8, because as many are changed at a time.

    Returns:
        ``(Q, M, M)``, 1 inside.
    """
    num_polygons = len(corner_offsets) - 1
    next_corner = np.arange(1, len(corners) + 1)
    next_corner[corner_offsets[1:] - 1] = corner_offsets[:-1]
    x, y = corners.T
    next_x, next_y = x[next_corner], y[next_corner]
    # An edge meets the centres from its left end, included, to its right end, not included.
    first = _first_centre_from(np.minimum(x, next_x), num_cells)
    count = _first_centre_from(np.maximum(x, next_x), num_cells) - first
    edges = np.repeat(np.arange(len(corners)), count)
    columns = np.arange(len(edges)) - np.repeat(np.cumsum(count) - count - first, count)
    slopes = (next_y - y)[edges] / (next_x - x)[edges]
    rows = _first_centre_from(y[edges] + (columns + 0.5 - x[edges]) * slopes, num_cells)
    polygons = np.repeat(np.arange(num_polygons), np.diff(corner_offsets))[edges]
    changes = np.zeros((num_polygons, num_cells + 1, num_cells), dtype=np.uint8)
    places = (polygons * (num_cells + 1) + rows) * num_cells + columns
    np.bitwise_xor.at(changes.reshape(-1), places, np.uint8(1))
    filled = np.bitwise_xor.accumulate(changes[:, :-1].view(np.uint64), axis=1)
    return filled.view(np.uint8)


def _first_centre_from(values: NDArray[np.float64], num_cells: int) -> NDArray[np.int64]:
    """The first cell whose centre is not before a value; the number of cells where there is none."""
    return np.clip(np.ceil(values - 0.5), 0, num_cells).astype(np.int64)
