"""Large pictures cut into overlapping tiles, of which each is a picture of its own to training and detection.

Nothing is written: a tile is a window of a picture, and has the picture's annotations, moved and cut.

Of an object that an edge of a tile cuts, enough may be left to be learnt or too little: a wheel is no car.
Boxes of which a tile shows less than a share of their area become crowd regions of the tile, which are no
targets; ``inspect-batch`` shows them.  DOTA's development kit has the same rule with a share of 0.7, as have
mmrotate and Ultralytics after it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_values import INSIDE_TOLERANCE
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.windows import Windows
from hrdet_cli.engine.geometry import Size, Window

_SHARE_TOLERANCE = 1e-6  # of a box that is all there, in float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiling:
    """How pictures are cut.

    Attributes:
        side: Height and width of a tile, in pixels of the picture.
        overlap: Neighbouring tiles share at least so many rows or columns; less than ``side``.
        min_share: Of a box's area, from which on a tile that shows only a part of it has it as a target.
        with_whole: Whether a picture that is cut is looked at as a whole besides, for what is large.
    """

    side: int
    overlap: int
    min_share: float
    with_whole: bool

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.side:
            raise ValueError(f"tiles of {self.side} pixels cannot overlap by {self.overlap}")

    def windows_of(self, size: Size) -> tuple[Window, ...]:
        """The tiles of a picture of a size, row by row, and then all of it if that is wanted.

        There are as few as the overlap allows, spread evenly from edge to edge, so none reaches out of the
        picture.  A picture that is no larger than a tile, whichever way, is one.
        """
        height, width = min(size.height, self.side), min(size.width, self.side)
        tiles = tuple(
            Window(left, top, Size(height, width), size)
            for top in self._starts(size.height)
            for left in self._starts(size.width)
        )
        if self.with_whole and len(tiles) > 1:
            return (*tiles, Window(0, 0, size, size))
        return tiles

    def _starts(self, length: int) -> Iterator[int]:
        """First rows or columns of the tiles along an axis."""
        room = max(length - self.side, 0)
        num_steps = -(-room // (self.side - self.overlap))
        for step in range(num_steps + 1):
            yield step * room // max(num_steps, 1)


@dataclass(frozen=True, slots=True)
class Cuts:
    """What cutting did.

    Attributes:
        annotations: Of T tiles instead of M pictures.
        num_cut: Pictures of which there are several tiles.
        num_never_whole: Targets of which no tile shows all.
        num_never_shown: Of these, targets that none has as a target.
    """

    annotations: CocoAnnotations
    num_cut: int
    num_never_whole: int
    num_never_shown: int


def cut_into_tiles(annotations: CocoAnnotations, tiling: Tiling) -> Cuts:
    """Tiles of all pictures, those of a picture one after the other, with the parts of its boxes they show.

    Parts of less than a pixel are left out, as boxes of less than a pixel are.

    Args:
        annotations: Of whole pictures.
        tiling: How they are cut.
    """
    windows = [tiling.windows_of(annotations.size_of(index)) for index in range(len(annotations))]
    pictures = np.repeat(np.arange(len(annotations)), [len(of_picture) for of_picture in windows])
    tiles = [window for of_picture in windows for window in of_picture]
    best_shares = np.zeros(len(annotations.boxes))
    parts = [
        _parts_in(annotations, picture, window, best_shares)
        for picture, window in zip(pictures.tolist(), tiles, strict=True)
    ]
    rows, boxes, shares = (np.concatenate(column) for column in zip(_NO_PARTS, *parts, strict=True))
    is_target = ~annotations.is_crowd
    segmentations = annotations.segmentations
    cut = replace(
        annotations,
        image_ids=annotations.image_ids[pictures],
        file_names=annotations.file_names[pictures],
        sizes=np.array([(tile.size.height, tile.size.width) for tile in tiles], dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])]).astype(np.int64),
        boxes=boxes.astype(np.float32),
        labels=annotations.labels[rows],
        is_crowd=annotations.is_crowd[rows] | (shares < tiling.min_share - _SHARE_TOLERANCE),
        segmentations=None if segmentations is None else segmentations.take(rows),
        windows=Windows.of(tiles),
        set_numbers=None if annotations.set_numbers is None else annotations.set_numbers[pictures],
        truth=None,
    )
    return Cuts(
        cut,
        num_cut=sum(len(of_picture) > 1 for of_picture in windows),
        num_never_whole=int((is_target & (best_shares < 1 - _SHARE_TOLERANCE)).sum()),
        num_never_shown=int((is_target & (best_shares < tiling.min_share - _SHARE_TOLERANCE)).sum()),
    )


_Parts = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]

_NO_PARTS: _Parts = np.zeros(0, dtype=np.int64), np.zeros((0, 4)), np.zeros(0)


def _parts_in(
    annotations: CocoAnnotations, picture: int, window: Window, best_shares: NDArray[np.float64]
) -> _Parts:
    """The rows of the boxes that a tile shows something of, these parts in its pixels, and their shares."""
    rows = np.arange(annotations.offsets[picture], annotations.offsets[picture + 1])
    boxes = annotations.boxes[rows].astype(np.float64)
    start = np.array([window.left, window.top] * 2)
    moved = boxes - start
    parts = np.clip(moved, 0, [window.size.width, window.size.height] * 2)
    sides = parts[:, 2:] - parts[:, :2]
    shares = sides.prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    best_shares[rows] = np.maximum(best_shares[rows], shares)
    is_seen = sides.min(axis=1, initial=np.inf) >= 1 - INSIDE_TOLERANCE
    return rows[is_seen], parts[is_seen], shares[is_seen]
