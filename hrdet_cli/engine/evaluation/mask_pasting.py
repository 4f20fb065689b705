"""Masks back in their pictures: from a few cells over each box to runs of pixels, as COCO writes them.

A mask is never laid out over its whole picture: pixels are computed where the mask reaches, a block of
columns at a time, and only the runs that they make are kept. A hundred objects that fill a picture of 12
megapixels take a few megabytes that way, not one gigabyte.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.geometry import Size

PasteRule = Literal["grid", "torchvision", "whole_pixels"]

_BLOCK_PIXELS = 1 << 20
"""Computed at a time: 4 MB of float32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPasting:
    """Lays masks over their boxes.

    A cell's probability is that of its middle, and those of pixels' middles are interpolated between the four
    around them.

    Attributes:
        threshold: A pixel with at least this probability belongs to the object; above 0.
        rule: Where a mask's cells are. ``"grid"``: in its box, with zeros around (mmdetection 2 and 3,
            detectron2: ``F.grid_sample``, bilinear, ``align_corners=False``). ``"torchvision"``: likewise,
            but the mask with its zeros is resized to whole pixels, and its box ends with its last one; that
            suits masks that were learnt by a RoIAlign that is not aligned. ``"whole_pixels"``: resized to the
            pixels of the box from the first to the last (mmdetection 0 and 1, and the code of 2019).
    """

    threshold: float
    rule: PasteRule = "grid"

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
        places_of = _PLACES[self.rule]
        rows, in_rows = places_of(y1, y2, num_cells=mask.shape[0], num_pixels=size.height)
        columns, in_columns = places_of(x1, x2, num_cells=mask.shape[1], num_pixels=size.width)
        of_rows, of_columns = _cell_weights(in_rows, mask.shape[0]), _cell_weights(in_columns, mask.shape[1])
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


class _Places(Protocol):
    def __call__(
        self, low: float, high: float, *, num_cells: int, num_pixels: int
    ) -> tuple[range, NDArray[np.float64]]:
        """Along one axis, the pixels of the picture that a mask reaches, and where they lie among its cells.

        Args:
            low: Where the box begins, in pixels.
            high: Where it ends.
            num_cells: m.
            num_pixels: Of the picture.

        Returns:
            P pixels, and ``(P,)``: 0 in the middle of the first cell, m - 1 in that of the last.
        """


def _places_in_box(
    low: float, high: float, *, num_cells: int, num_pixels: int
) -> tuple[range, NDArray[np.float64]]:
    reach = (high - low) / num_cells / 2  # half a cell: further out there are only zeros
    pixels = _pixels_between(int(np.floor(low - reach)), int(np.ceil(high + reach)), num_pixels)
    return pixels, (_middles_of(pixels) - low) / (high - low) * num_cells - 0.5


def _places_of_torchvision(
    low: float, high: float, *, num_cells: int, num_pixels: int
) -> tuple[range, NDArray[np.float64]]:
    """``paste_masks_in_image``: a cell of zeros on either side, and the box is enlarged as much."""
    framed = num_cells + 2
    middle = np.float32(high + low) * np.float32(0.5)  # in its arithmetic, for a box is cut to whole pixels
    reach = np.float32(high - low) * np.float32(0.5) * np.float32(framed / num_cells)
    pixels, places = _places_of_whole(int(middle - reach), int(middle + reach), framed, num_pixels)
    return pixels, places - 1


def _places_of_2019(
    low: float, high: float, *, num_cells: int, num_pixels: int
) -> tuple[range, NDArray[np.float64]]:
    """``get_seg_masks``: boxes end with their last pixel there, which is one less than here."""
    return _places_of_whole(int(low), int(high - 1), num_cells, num_pixels)


def _places_of_whole(
    first: int, last: int, num_cells: int, num_pixels: int
) -> tuple[range, NDArray[np.float64]]:
    """Of cells that are resized to the pixels from the first to the last; the outermost go on to the edge."""
    count = max(last - first + 1, 1)
    pixels = _pixels_between(first, first + count, num_pixels)
    places = (_middles_of(pixels) - first) / count * num_cells - 0.5
    return pixels, places.clip(0, num_cells - 1)


def _pixels_between(start: int, stop: int, num_pixels: int) -> range:
    """Those of them that the picture has."""
    start = max(start, 0)
    return range(start, max(start, min(stop, num_pixels)))


def _middles_of(pixels: range) -> NDArray[np.float64]:
    return np.arange(pixels.start, pixels.stop, dtype=np.float64) + 0.5


_PLACES: Mapping[PasteRule, _Places] = {
    "grid": _places_in_box,
    "torchvision": _places_of_torchvision,
    "whole_pixels": _places_of_2019,
}


def _cell_weights(places: NDArray[np.float64], num_cells: int) -> NDArray[np.float32]:
    """``(P, num_cells)``: what each place takes of every cell, of two at most; nothing of what is outside."""
    weights = (1 - np.abs(places[:, None] - np.arange(num_cells))).clip(min=0)
    return weights.astype(np.float32)


def _bounds_in(is_inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Columns and rows, ``(2 R,)`` each, of the first pixel of each run and the one behind its last, in turn.

    Args:
        is_inside: ``(columns, rows)``.
    """
    num_columns, num_rows = is_inside.shape
    framed = np.zeros((num_columns + 1, num_rows + 1), dtype=np.bool_)  # outside above, and below the last
    framed[:-1, 1:] = is_inside
    column_by_column = framed.ravel()
    changes = np.flatnonzero(column_by_column[1:] != column_by_column[:-1])
    return np.divmod(changes, num_rows + 1)


def _counts(bounds: NDArray[np.int64], size: Size) -> bytes:
    ends = bounds if size.num_pixels in bounds[-1:] else np.append(bounds, size.num_pixels)
    runs = {"size": [size.height, size.width], "counts": np.diff(ends, prepend=0).tolist()}
    counts: bytes = coco_mask.frPyObjects(runs, size.height, size.width)["counts"]
    return counts
