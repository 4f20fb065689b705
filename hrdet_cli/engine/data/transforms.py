"""Where a picture's pixels and boxes go: resize, crop, flip, turn.

An augmentation (``augmentations.py``) draws a ``Placement`` from a generator; applying it to boxes (here), to
pixels (``pixels.py``), masks (``mask_frames.py``) and label maps is then arithmetic.  The order is always
resize, crop, flip, turn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Scale, Size

PixelFilter = Literal["antialias", "bilinear", "opencv"]
Rounding = Literal["half-up", "down"]
BoxRule = Literal["centred", "shown"]

_LEAST_SIDE_PIXELS = 1e-5  # of a box that is still one; detectron2's threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Resizing:
    """The conventions of a resize, in which detectors that share weights must agree.

    Attributes:
        pixel_filter: ``antialias`` averages over all that becomes one pixel when a picture shrinks,
            ``bilinear`` looks at four pixels whatever the scale, ``opencv`` too, in OpenCV's arithmetic.
        rounding: How edges become whole pixels.
        box_corners: What of a box is multiplied.  ``exclusive``: its far corner, which is the end of its last
            pixel.  ``inclusive``: that pixel, one less, as in the code of 2019, where boxes ended at
            ``x + width - 1``; boxes are also kept from starting beyond the last pixel.  Either way boxes come
            and go with exclusive corners.
    """

    pixel_filter: PixelFilter = "antialias"
    rounding: Rounding = "half-up"
    box_corners: Literal["exclusive", "inclusive"] = "exclusive"

    @property
    def fixed_corner(self) -> tuple[int, int, int, int]:
        """What is taken off a box's corners while they are multiplied."""
        return (0, 0, 1, 1) if self.box_corners == "inclusive" else (0, 0, 0, 0)


OWN_RESIZING = Resizing()
"""The conventions where there are no others to agree with."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a resized picture.

    Attributes:
        top: Its first row, in resized pixels.
        left: Its first column.
        size: Its height and width.
        keeps: Which boxes stay targets: ``centred``, those whose centre lies inside, as in SimpleDet;
            ``shown``, those of which any part does, as in detectron2.
    """

    top: int
    left: int
    size: Size
    keeps: BoxRule = "centred"


@dataclass(frozen=True, slots=True)
class Placement:
    """How one picture was changed.

    Attributes:
        resized: Size after the resize.
        crop: What was cut out of the resized picture; None for all of it.
        flipped: Whether left and right were then exchanged.
        resizing: Conventions of the resize.
        quarter_turns: By how many times 90 degrees, counter-clockwise, it was turned at last; in [0, 3].
    """

    resized: Size
    crop: Crop | None = None
    flipped: bool = False
    resizing: Resizing = OWN_RESIZING
    quarter_turns: int = 0

    @property
    def upright(self) -> Size:
        """Size of the picture before it was turned."""
        return self.resized if self.crop is None else self.crop.size

    @property
    def is_cut(self) -> bool:
        """Whether the crop took anything away."""
        return self.upright != self.resized

    @property
    def placed(self) -> Size:
        """Size of the picture on its canvas."""
        upright = self.upright
        return Size(upright.width, upright.height) if self.quarter_turns % 2 else upright


def resize_within(size: Size, scale: Scale, rounding: Rounding = "half-up") -> Size:
    """The largest size of the same shape within the scale.

    Edges are rounded half up as in ``mmcv.image.imrescale``, or down as in torchvision's
    ``GeneralizedRCNNTransform``, which may make an edge a pixel shorter than the scale because its product in
    floating point falls short of it.
    """
    long, short = max(size.height, size.width), min(size.height, size.width)
    factor = min(scale.long / long, scale.short / short)
    added = 0.5 if rounding == "half-up" else 0.0
    return Size(max(1, int(size.height * factor + added)), max(1, int(size.width * factor + added)))


def move_boxes(
    boxes: NDArray[np.float32], original: Size, placement: Placement
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Move boxes with their picture.

    Args:
        boxes: ``(B, 4)`` in pixels of the original picture.
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        boxes: ``(B, 4)`` in canvas pixels, clipped to the placed picture.
        is_kept: ``(B,)``; False for boxes that the crop cut off, by its own rule; always True without a crop.
    """
    if len(boxes) == 0:  # most pictures have no crowd regions
        return boxes, np.zeros(0, dtype=np.bool_)
    moved = resize_boxes(boxes, original, placement.resized, placement.resizing)
    if placement.crop is not None:
        moved -= np.array([placement.crop.left, placement.crop.top] * 2)
    edges = np.array([placement.upright.width, placement.upright.height])
    is_kept = _stays(moved, edges, "centred" if placement.crop is None else placement.crop.keeps)
    moved = _clipped(moved, np.tile(edges, 2), np.array(placement.resizing.fixed_corner))
    if placement.flipped:
        moved[:, [0, 2]] = placement.upright.width - moved[:, [2, 0]]
    targets = turn_boxes(moved, placement.upright, placement.quarter_turns).astype(np.float32)
    if placement.crop is not None and placement.crop.keeps == "shown":
        is_kept &= (targets[:, 2:] > targets[:, :2]).all(axis=1)
    return targets, is_kept


def turn_boxes(boxes: NDArray[np.float64], size: Size, quarter_turns: int) -> NDArray[np.float64]:
    """Turn boxes ``(B, 4)`` counter-clockwise with their picture of a size, so many times by 90 degrees."""
    width, height = size.width, size.height
    for _ in range(quarter_turns % 4):
        x1, y1, x2, y2 = boxes.T
        boxes, width, height = np.stack([y1, width - x2, y2, width - x1], axis=1), height, width
    return boxes


def _stays(boxes: NDArray[np.float64], edges: NDArray[np.int64], rule: BoxRule) -> NDArray[np.bool_]:
    """``(B,)`` which boxes stay in a window that begins at 0 and ends at ``edges`` of x and y."""
    if rule == "centred":
        centres = box_centres(boxes)
        is_centred: NDArray[np.bool_] = (centres.min(axis=1) >= 0) & ((edges - centres).min(axis=1) > 0)
        return is_centred
    rounded = boxes.astype(np.float32)  # as targets are: less than their last digit is nothing
    sides = np.minimum(rounded[:, 2:], edges) - np.maximum(rounded[:, :2], 0)
    is_shown: NDArray[np.bool_] = sides.min(axis=1) > _LEAST_SIDE_PIXELS
    return is_shown


def canvas_map(original: Size, placement: Placement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where points of a picture go before it is turned, whatever the corners of boxes are.

    Args:
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        factors: ``(2,)`` of x and y.
        shifts: ``(2,)``; a point lies at ``point * factors + shifts`` of the picture as it is then.
    """
    resized, crop = placement.resized, placement.crop
    factors = np.array([resized.width / original.width, resized.height / original.height])
    shifts = np.zeros(2) if crop is None else -np.array([crop.left, crop.top], dtype=np.float64)
    if placement.flipped:
        factors[0], shifts[0] = -factors[0], placement.upright.width - shifts[0]
    return factors, shifts


def resize_boxes(
    boxes: NDArray[np.float32], original: Size, resized: Size, resizing: Resizing
) -> NDArray[np.float64]:
    """Scale each axis by the factor it really got, which rounding makes differ from the nominal one.

    Inclusive boxes of a pixel or two at the edge of a picture would else lie outside of it as it shrinks.
    """
    edges = np.array([resized.width, resized.height] * 2)
    factors = edges / [original.width, original.height, original.width, original.height]
    fixed = np.array(resizing.fixed_corner)
    return _clipped((boxes.astype(np.float64) - fixed) * factors + fixed, edges, fixed)


def _clipped(
    boxes: NDArray[np.float64], edges: NDArray[np.int64], fixed: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Boxes inside of what ends at ``edges`` of x, y, x and y, beginning and ending on a pixel of it."""
    clipped: NDArray[np.float64] = np.clip(boxes, fixed, edges - fixed[::-1])
    return clipped


def box_centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(B, 2)`` x and y of the middle of each box."""
    centres: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres
