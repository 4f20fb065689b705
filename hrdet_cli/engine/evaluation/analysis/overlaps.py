"""How much detections overlap objects, picture by picture and whatever their classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.evaluation.comparison import Comparison, Objects


@dataclass(frozen=True, slots=True, eq=False)
class PictureOverlaps:
    """Overlaps in one picture.

    Attributes:
        picture: Its number.
        found: ``(d,)`` int64, its detections.
        true: ``(g,)`` int64, its objects.
        ious: ``(d, g)`` float64, intersection over union; with a crowd region, over the detection alone.
    """

    picture: int
    found: NDArray[np.int64]
    true: NDArray[np.int64]
    ious: NDArray[np.float64]


def overlaps_by_picture(comparison: Comparison) -> Iterator[PictureOverlaps]:
    """Overlaps in every picture that has a detection or an object, of boxes or of masks."""
    num_pictures = len(comparison.picture_sizes)
    found = rows_by_picture(comparison.found.pictures, num_pictures)
    true = rows_by_picture(comparison.truth.pictures, num_pictures)
    for picture, (of_found, of_true) in enumerate(zip(found, true, strict=True)):
        if len(of_found) or len(of_true):
            yield PictureOverlaps(picture, of_found, of_true, _ious(comparison, of_found, of_true))


def rows_by_picture(pictures: NDArray[np.int64], num_pictures: int) -> list[NDArray[np.int64]]:
    """The rows of each of M pictures, ascending; ``pictures`` has the picture of each row."""
    order = np.argsort(pictures, kind="stable")
    return np.split(order, np.searchsorted(pictures[order], np.arange(1, num_pictures)))


def _ious(comparison: Comparison, found: NDArray[np.int64], true: NDArray[np.int64]) -> NDArray[np.float64]:
    if not len(found) or not len(true):
        return np.zeros((len(found), len(true)))
    crowd = comparison.is_crowd[true].astype(np.uint8)
    ious: NDArray[np.float64] = coco_mask.iou(
        _shapes(comparison.found, found), _shapes(comparison.truth, true), crowd
    )
    return ious


def _shapes(objects: Objects, rows: NDArray[np.int64]) -> object:
    """Boxes as an array, or masks as a list, which is what pycocotools tells them apart by."""
    return [objects.masks[row] for row in rows.tolist()] if objects.masks else objects.boxes[rows]
