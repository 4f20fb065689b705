"""What a placement does to the boxes of a picture: which stay, which are lost, which are cut."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.transforms import Placement, move_boxes

_ROUNDING_PIXELS = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class MovedBoxes:
    """The target boxes of one picture after its placement.

    Attributes:
        boxes: ``(B, 4)`` those that stay, in canvas pixels.
        num_lost: How many a crop took away, their centre being outside.
        num_clipped: How many of those that stay a crop made smaller.
    """

    boxes: NDArray[np.float32]
    num_lost: int
    num_clipped: int


def move_targets(annotations: CocoAnnotations, index: int, placement: Placement) -> MovedBoxes:
    """Move the target boxes of a picture, as training does."""
    boxes, _ = annotations.targets_of(index)
    original = annotations.size_of(index)
    moved, stays = move_boxes(boxes, original, placement)
    kept = moved[stays]
    num_clipped = 0
    if placement.crop is not None:
        factors = np.array(
            [placement.resized.width / original.width, placement.resized.height / original.height]
        )
        sides = (boxes[stays, 2:] - boxes[stays, :2]) * factors
        is_cut = (kept[:, 2:] - kept[:, :2] < sides - _ROUNDING_PIXELS).any(axis=1)
        num_clipped = int(is_cut.sum())
    return MovedBoxes(kept, len(boxes) - len(kept), num_clipped)
