"""What an object covers of its placed picture, pixel by pixel, and back into the frame of its box."""

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.mask_frames import FRAME_CELLS, fill_polygons
from hrdet_cli.engine.data.run_lengths import look_up_runs
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.transforms import Placement, canvas_map
from hrdet_cli.engine.geometry import Size

Bitmap = NDArray[np.bool_]

_FILLED_AT_ONCE = 8  # `fill_polygons` has grids of a multiple of it


def draw_bitmap(segmentation: Segmentations, original: Size, placement: Placement) -> Bitmap:
    """Pixels whose centres belong to one object.

    Args:
        segmentation: Of that object alone, in pixels of the original picture.
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        ``(h, w)`` bool of size ``placement.placed``.
    """
    factors, shifts = canvas_map(original, placement)
    upright = placement.upright
    bitmap = np.zeros((upright.height, upright.width), dtype=np.bool_)
    if len(segmentation.corners):
        edge = -(-max(upright.height, upright.width) // _FILLED_AT_ONCE) * _FILLED_AT_ONCE
        filled = fill_polygons(segmentation.corners * factors + shifts, segmentation.corner_offsets, edge)
        bitmap |= filled.max(axis=0)[: upright.height, : upright.width] > 0
    if len(segmentation.runs):
        x = (np.arange(upright.width) + 0.5 - shifts[0]) / factors[0]
        y = (np.arange(upright.height) + 0.5 - shifts[1]) / factors[1]
        columns = np.clip(np.floor(x), 0, original.width - 1).astype(np.int64)
        rows = np.clip(np.floor(y), 0, original.height - 1).astype(np.int64)
        found = look_up_runs(segmentation.runs, columns=columns, rows=rows, height=original.height)
        bitmap |= found.astype(np.bool_)
    return np.rot90(bitmap, placement.quarter_turns)


def box_around(bitmap: Bitmap) -> NDArray[np.float32]:
    """``(4,)`` the tight box around the pixels inside, of which there must be some."""
    rows, columns = np.flatnonzero(bitmap.any(axis=1)), np.flatnonzero(bitmap.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def tighten_boxes(
    boxes: NDArray[np.float32], segmentations: Segmentations, original: Size, placement: Placement
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes that a window cuts, around what it shows of their objects, as detectron2's ``recompute_boxes``.

    Args:
        boxes: ``(G, 4)`` in canvas pixels, as `move_boxes` moved and clipped them.
        segmentations: Of the G objects, in pixels of the original picture.
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        boxes: ``(G, 4)``; a side that is within a pixel of what is shown stays as it is.
        is_shown: ``(G,)``; False for an object of which the window shows a part of the box and no pixel.
    """
    tight, is_shown = boxes.copy(), np.ones(len(boxes), dtype=np.bool_)
    edges = (placement.placed.width, placement.placed.height)
    may_be_cut = (boxes[:, :2] <= 0).any(axis=1) | (boxes[:, 2:] >= edges).any(axis=1)
    for row in np.flatnonzero(may_be_cut).tolist():
        bitmap = draw_bitmap(segmentations.take(np.array([row])), original, placement)
        if not bitmap.any():
            is_shown[row] = False
            continue
        around = box_around(bitmap)
        tight[row] = np.where(np.abs(around - boxes[row]) > 1, around, boxes[row])
    return tight, is_shown


def frame_of_bitmap(bitmap: Bitmap, box: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``(M, M)`` the mask in the frame of a box: of each cell what the pixel under its centre is."""
    centres = (np.arange(FRAME_CELLS) + 0.5) / FRAME_CELLS
    x1, y1, x2, y2 = box.astype(np.float64).tolist()
    columns = np.floor(x1 + centres * (x2 - x1)).astype(np.int64)
    rows = np.floor(y1 + centres * (y2 - y1)).astype(np.int64)
    return bitmap[np.ix_(rows, columns)].astype(np.uint8)
