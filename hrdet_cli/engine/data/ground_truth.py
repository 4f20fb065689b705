"""What there is to find, as the annotation file has it: training keeps less of it.

Nothing is clipped or left out here, and masks are drawn by pycocotools, for scores are to be everybody's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.federated import Federated
from hrdet_cli.engine.data.segmentation_reading import decode_segmentation
from hrdet_cli.engine.data.segmentation_values import FEWEST_NUMBERS, polygons_in, runs_in
from hrdet_cli.engine.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class PackedMasks:
    """Masks of N objects, packed as COCO packs run lengths, one after the other.

    Attributes:
        letters: ``(S,)`` uint8.
        offsets: ``(N + 1,)`` int64; object n has ``letters[offsets[n]:offsets[n + 1]]``, none without a mask.
    """

    letters: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, counts: Sequence[bytes]) -> Self:
        """Those of some objects; empty is no mask."""
        ends = np.cumsum([len(one) for one in counts], dtype=np.int64)
        return cls(np.frombuffer(b"".join(counts), dtype=np.uint8), np.concatenate([[0], ends]))

    @property
    def is_there(self) -> NDArray[np.bool_]:
        """``(N,)`` which objects have one."""
        return np.diff(self.offsets) > 0

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Those of some objects, in their order."""
        return type(self).of([self.counts_of(row) for row in rows.tolist()])

    def counts_of(self, row: int) -> bytes:
        """The packed run lengths of an object."""
        return self.letters[self.offsets[row] : self.offsets[row + 1]].tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """All N annotations of a file with the values they are scored by, in the order of the file.

    Attributes:
        ids: ``(N,)`` int64.
        picture_indices: ``(N,)`` int64, position of the picture in the file's list.
        labels: ``(N,)`` int64, position of the category in the file's list.
        boxes: ``(N, 4)`` float64, x, y, width and height in pixels.
        areas: ``(N,)`` float64 in square pixels; NaN where the file has none.
        is_crowd: ``(N,)`` bool.
        masks: Crowd regions have theirs too; None where nobody asked for masks.
        federated: For which classes pictures were looked through; None where for all.
        places: Where each stands in files of another format than COCO's; None in COCO's own.
    """

    ids: NDArray[np.int64]
    picture_indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    masks: PackedMasks | None
    federated: Federated | None = None
    places: tuple[str, ...] | None = None

    def as_one_class(self) -> Self:
        """The same, with all categories taken for one; it cannot be told which pictures lack any object."""
        return replace(self, labels=np.zeros_like(self.labels), federated=None)

    def of_labels(self, labels: Sequence[int]) -> Self:
        """Those of some categories, which get new labels: their places in the sequence."""
        rows, new_labels = rows_of_labels(self.labels, labels)
        return replace(
            self,
            ids=self.ids[rows],
            picture_indices=self.picture_indices[rows],
            labels=new_labels,
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            is_crowd=self.is_crowd[rows],
            masks=None if self.masks is None else self.masks.take(rows),
            federated=None if self.federated is None else self.federated.of_labels(labels),
            places=None if self.places is None else tuple(self.places[row] for row in rows.tolist()),
        )


def rows_of_labels(
    labels: NDArray[np.int64], wanted: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which of ``(N,)`` labels are wanted: their rows, and their places in the sequence, both ``(W,)``."""
    order = np.argsort(np.array(wanted))
    ascending = np.array(wanted)[order]
    nearest = np.searchsorted(ascending, labels).clip(max=len(wanted) - 1)
    rows = np.flatnonzero(ascending[nearest] == labels)
    return rows, order[nearest[rows]]


def pack_segmentations(
    given: Sequence[Any], sizes: NDArray[np.integer[Any]], report: Callable[[int, str], None]
) -> PackedMasks:
    """What segmentations cover; nothing for what is absent, encloses no pixel or is wrong.

    Args:
        given: Of N annotations, ``msgspec.Raw`` or what was made of it; ``UNSET`` and null stand for none.
        sizes: ``(N, 2)`` height and width of their pictures.
        report: Is told the row of each that is wrong, and what is wrong with it.
    """
    counts: list[bytes] = []
    for row, (value, (height, width)) in enumerate(zip(given, sizes.tolist(), strict=True)):
        try:
            counts.append(_packed(value, Size(height, width)))
        except ValueError as error:
            report(row, str(error))
            counts.append(b"")
    return PackedMasks.of(counts)


def _packed(value: Any, size: Size) -> bytes:
    """The packed run lengths of a segmentation; empty where it covers nothing.

    Raises:
        ValueError: It is no segmentation of a picture of this size; says why.
    """
    if isinstance(value, msgspec.Raw):
        value = decode_segmentation(value)
    if value is None or value is msgspec.UNSET:
        return b""
    packed: dict[str, Any]
    if isinstance(value, list):
        # With four numbers pycocotools takes a polygon for a box.
        polygons = [polygon for polygon in polygons_in(value) if len(polygon) >= FEWEST_NUMBERS]
        if not polygons:
            return b""
        packed = coco_mask.merge(coco_mask.frPyObjects(polygons, size.height, size.width))
    else:
        lengths = runs_in(value, size)
        if not lengths[1::2].any():
            return b""
        runs = {"size": [size.height, size.width], "counts": lengths.tolist()}
        packed = coco_mask.frPyObjects(runs, size.height, size.width)
    return bytes(packed["counts"])
