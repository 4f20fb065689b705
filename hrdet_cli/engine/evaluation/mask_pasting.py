"""Masks back in their pictures: from a few cells over each box to runs of pixels, as COCO writes them.

A mask is never laid out over its whole picture: pixels are computed where the mask reaches, a block of
columns at a time, and only the runs that they make are kept. A hundred objects that fill a picture of 12
megapixels take a few megabytes that way, not one gigabyte.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.geometry import Size

_BLOCK_PIXELS = 1 << 20
"""Computed at a time: 4 MB of float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPasting:
    """Lays masks over their boxes.

    A cell's probability is that of its middle, and those of pixels' middles are interpolated between the four
    around them, with zeros around the mask: the rule of mmdetection and of detectron2 (``F.grid_sample``,
    bilinear, ``align_corners=False``).

    Attributes:
        threshold: A pixel with at least this probability belongs to the object; above 0.
    """

    threshold: float

    def paste(self, masks: NDArray[np.float32], boxes: NDArray[np.float32], size: Size) -> MaskRuns:
        """Lay the masks of one picture over their boxes.

        Args:
            masks: ``(D, m, m)`` float32 in [0, 1], each in the frame of its box.
            boxes: ``(D, 4)`` float32 in pixels of the picture; without area, a box has no pixel.
            size: Of the picture.
        """
        counts = (
            _counts(self._bounds(mask, box, size), size) for mask, box in zip(masks, boxes, strict=True)
        )
        return MaskRuns(size, tuple(counts))

    def _bounds(self, mask: NDArray[np.float32], box: NDArray[np.float32], size: Size) -> NDArray[np.int64]:
        """Where runs of pixels begin and end, in turn; pixels are numbered down the columns."""
        x1, y1, x2, y2 = box.tolist()
        if x2 <= x1 or y2 <= y1:
            return np.zeros(0, dtype=np.int64)
        rows, of_rows = _cell_weights(y1, y2, num_cells=mask.shape[0], num_pixels=size.height)
        columns, of_columns = _cell_weights(x1, x2, num_cells=mask.shape[1], num_pixels=size.width)
        by_row = mask.T @ of_rows.T  # (m, rows): each column of cells at the pixels' rows
        step = max(1, _BLOCK_PIXELS // max(len(rows), 1))
        parts = [np.zeros(0, dtype=np.int64)]
        for start in range(0, len(columns), step):
            is_inside = of_columns[start : start + step] @ by_row >= self.threshold
            column, row = _bounds_in(is_inside)
            parts.append((columns.start + start + column) * size.height + rows.start + row)
        bounds = np.concatenate(parts)
        # A run that reaches the foot of a column goes on at the head of the next.
        goes_on = np.flatnonzero(bounds[1:-1:2] == bounds[2::2])
        return np.delete(bounds, np.concatenate([2 * goes_on + 1, 2 * goes_on + 2]))


def _cell_weights(
    low: float, high: float, *, num_cells: int, num_pixels: int
) -> tuple[range, NDArray[np.float32]]:
    """Along one axis, the pixels that a mask reaches, and what each takes of every cell.

    Returns:
        P pixels of the picture, and ``(P, num_cells)`` float32: at most two of a row are not zero.
    """
    reach = (high - low) / num_cells / 2  # half a cell: further out there are only zeros
    start, stop = max(int(np.floor(low - reach)), 0), min(int(np.ceil(high + reach)), num_pixels)
    pixels = range(start, max(start, stop))
    middles = np.arange(pixels.start, pixels.stop) + 0.5
    cells = (middles - low) / (high - low) * num_cells - 0.5
    weights = (1 - np.abs(cells[:, None] - np.arange(num_cells))).clip(min=0)
    return pixels, weights.astype(np.float32)


def _bounds_in(is_inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows, ``(2 R,)`` each, of the first pixel of each run and the one behind its last, in turn.

    Args:
        is_inside: ``(columns, rows)``.
    """
    columns = np.zeros((is_inside.shape[0], is_inside.shape[1] + 2), dtype=bool)  # outside above and below
    columns[:, 1:-1] = is_inside
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    return column, row


def _counts(bounds: NDArray[np.int64], size: Size) -> bytes:
    ends = bounds if size.num_pixels in bounds[-1:] else np.append(bounds, size.num_pixels)
    runs = {"size": [size.height, size.width], "counts": np.diff(ends, prepend=0).tolist()}
    counts: bytes = coco_mask.frPyObjects(runs, size.height, size.width)["counts"]
    return counts
