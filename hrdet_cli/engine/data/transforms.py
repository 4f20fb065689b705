"""Where a picture's pixels and boxes go: resize, crop, flip.

An augmentation draws a ``Placement`` from a generator; applying it to boxes (here) and to pixels
(``pixels.py``) is then arithmetic.  The order is always resize, crop, flip.
"""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Scale, Size

PixelFilter = Literal["antialias", "bilinear", "opencv"]
Rounding = Literal["half-up", "down"]

_RANGE_GRID = 5  # of a range of scales so many long and so many short edges stand for all


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


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle of a resized picture: its top left corner and its size, in pixels."""

    top: int
    left: int
    size: Size


@dataclass(frozen=True, slots=True)
class Placement:
    """How one picture was changed.

    Attributes:
        resized: Size after the resize.
        crop: What was cut out of the resized picture; None for all of it.
        flipped: Whether left and right were then exchanged.
        resizing: Conventions of the resize.
    """

    resized: Size
    crop: Crop | None = None
    flipped: bool = False
    resizing: Resizing = Resizing()

    @property
    def placed(self) -> Size:
        """Size of the picture on its canvas."""
        return self.resized if self.crop is None else self.crop.size


class Augmentation(Protocol):
    """Draws how a picture is placed."""

    def typical_scales(self) -> tuple[Scale, ...]:
        """Scales that stand for all that can be drawn: the largest is among them."""

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw the scale of a picture."""

    @property
    def num_scales_in_turn(self) -> int:
        """How many scales ``draw_scales_in_turn`` gives."""

    def draw_scales_in_turn(self, generator: np.random.Generator) -> tuple[Scale, ...]:
        """Draw the scales of successive steps, of which each has one: all that there are, in random order.

        Drawn one by one, some would come more often than others over the few steps of a small data set.
        """

    def placed_size(self, size: Size, scale: Scale) -> Size:
        """Size on the canvas of a picture of a size at a scale; chance has no part in it."""

    def place(
        self,
        size: Size,
        boxes: NDArray[np.float32],
        generator: np.random.Generator,
        *,
        scale: Scale | None = None,
    ) -> Placement:
        """Draw a placement.

        Args:
            size: Size of the picture as annotated.
            boxes: ``(G, 4)`` target boxes in its pixels, without crowd regions.
            generator: The only source of chance.
            scale: The scale of the step; None draws one for the picture alone.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeAugmentation:
    """Resize to one of several scales, keeping the aspect ratio; then perhaps flip.

    Evaluation uses one scale and no flip.

    Attributes:
        scales: With ``mode="choice"`` one of them is drawn. With ``mode="range"`` there are two, and the long
            and the short edge are each drawn as an integer uniform between them, both ends included.
        mode: See ``scales``.
        flip_probability: In [0, 1].
        resizing: Conventions of the resize.
    """

    scales: tuple[Scale, ...]
    mode: Literal["choice", "range"]
    flip_probability: float
    resizing: Resizing = Resizing()

    def __post_init__(self) -> None:
        if not self.scales or (self.mode == "range" and len(self.scales) != 2):
            raise ValueError(f"mode '{self.mode}' cannot draw from {len(self.scales)} scales")

    def typical_scales(self) -> tuple[Scale, ...]:
        """The scales to choose from; of a range a grid of both edges, ends included."""
        if self.mode == "choice":
            return self.scales
        (first_long, first_short), (last_long, last_short) = ((s.long, s.short) for s in self.scales)
        longs = np.linspace(first_long, last_long, _RANGE_GRID).round().astype(int).tolist()
        shorts = np.linspace(first_short, last_short, _RANGE_GRID).round().astype(int).tolist()
        edges = {(max(long, short), min(long, short)) for long in longs for short in shorts}
        return tuple(Scale(long, short) for long, short in sorted(edges))

    def placed_size(self, size: Size, scale: Scale) -> Size:
        """See ``Augmentation``."""
        return resize_within(size, scale, self.resizing.rounding)

    def place(
        self,
        size: Size,
        boxes: NDArray[np.float32],  # noqa: ARG002
        generator: np.random.Generator,
        *,
        scale: Scale | None = None,
    ) -> Placement:
        """Draw scale and flip; the boxes do not matter."""
        resized = self.placed_size(size, scale or self.draw_scale(generator))
        return Placement(
            resized=resized,
            flipped=_draw_flip(self.flip_probability, generator),
            resizing=self.resizing,
        )

    @property
    def num_scales_in_turn(self) -> int:
        """All to choose from; of a range one."""
        return len(self.scales) if self.mode == "choice" else 1

    def draw_scales_in_turn(self, generator: np.random.Generator) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        if self.mode == "choice":
            return _in_random_order(self.scales, generator)
        return (self.draw_scale(generator),)

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw one of the scales, or between the two."""
        if self.mode == "choice":
            return self.scales[generator.integers(len(self.scales))]
        first, second = self.scales
        long = _draw_between(first.long, second.long, generator)
        short = _draw_between(first.short, second.short, generator)
        return Scale(max(long, short), min(long, short))


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeCropAugmentation:
    """Resize to one of several scales, cut out a part around a random box, perhaps flip.

    SimpleDet's way (Chen et al., JMLR 2019).  Jitter is limited so that the centre of the chosen box stays
    inside the crop: a picture with a box never loses all of them.  One without boxes is cropped anywhere.

    Attributes:
        scales: One of them is drawn.
        crop: Largest crop, turned with the picture.
        flip_probability: In [0, 1].
        jitter_rows: How far the crop's centre may lie above or below the box's, in resized pixels.
        jitter_columns: The same to the left or right.
        resizing: Conventions of the resize.
    """

    scales: tuple[Scale, ...]
    crop: Scale
    flip_probability: float
    jitter_rows: int = 10
    jitter_columns: int = 30
    resizing: Resizing = Resizing()

    def __post_init__(self) -> None:
        if not self.scales:
            raise ValueError("there is no scale to draw from")

    def typical_scales(self) -> tuple[Scale, ...]:
        """The scales to choose from."""
        return self.scales

    @property
    def num_scales_in_turn(self) -> int:
        """All to choose from."""
        return len(self.scales)

    def draw_scales_in_turn(self, generator: np.random.Generator) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return _in_random_order(self.scales, generator)

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw one of the scales."""
        return self.scales[generator.integers(len(self.scales))]

    def placed_size(self, size: Size, scale: Scale) -> Size:
        """Size of the crop, which is where the crop bounds it and elsewhere that of the resized picture."""
        resized = resize_within(size, scale, self.resizing.rounding)
        bound = self.crop.turned(portrait=size.is_portrait)
        return Size(min(resized.height, bound.height), min(resized.width, bound.width))

    def place(
        self,
        size: Size,
        boxes: NDArray[np.float32],
        generator: np.random.Generator,
        *,
        scale: Scale | None = None,
    ) -> Placement:
        """Draw scale, box, jitter and flip."""
        drawn = scale or self.draw_scale(generator)
        resized = resize_within(size, drawn, self.resizing.rounding)
        cropped = self.placed_size(size, drawn)
        if len(boxes):
            chosen = generator.integers(len(boxes))
            x, y = _centres(_resize_boxes(boxes, size, resized, self.resizing))[chosen].tolist()
            top = _draw_start(y, self.jitter_rows, cropped.height, resized.height, generator)
            left = _draw_start(x, self.jitter_columns, cropped.width, resized.width, generator)
        else:
            top = _draw_between(0, resized.height - cropped.height, generator)
            left = _draw_between(0, resized.width - cropped.width, generator)
        return Placement(
            resized=resized,
            crop=Crop(top=top, left=left, size=cropped),
            flipped=_draw_flip(self.flip_probability, generator),
            resizing=self.resizing,
        )


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
        centre_is_inside: ``(B,)``; False for boxes whose centre the crop cut off, always True without a crop.
    """
    moved = _resize_boxes(boxes, original, placement.resized, placement.resizing)
    if placement.crop is not None:
        moved -= np.array([placement.crop.left, placement.crop.top] * 2)
    edges = np.array([placement.placed.width, placement.placed.height])
    centres = _centres(moved)
    centre_is_inside = (centres.min(axis=1) >= 0) & ((edges - centres).min(axis=1) > 0)
    fixed = np.array(placement.resizing.fixed_corner)
    moved = np.clip(moved, fixed, np.tile(edges, 2) - fixed[::-1])
    if placement.flipped:
        moved[:, [0, 2]] = placement.placed.width - moved[:, [2, 0]]
    return moved.astype(np.float32), centre_is_inside


def canvas_map(original: Size, placement: Placement) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where points of a picture go, which is where its pixels go, whatever the corners of boxes are.

    Args:
        original: The picture's size as annotated.
        placement: Where the picture goes.

    Returns:
        factors: ``(2,)`` of x and y.
        shifts: ``(2,)``; a point lies at ``point * factors + shifts`` on the canvas.
    """
    resized, crop = placement.resized, placement.crop
    factors = np.array([resized.width / original.width, resized.height / original.height])
    shifts = np.zeros(2) if crop is None else -np.array([crop.left, crop.top], dtype=np.float64)
    if placement.flipped:
        factors[0], shifts[0] = -factors[0], placement.placed.width - shifts[0]
    return factors, shifts


def _resize_boxes(
    boxes: NDArray[np.float32], original: Size, resized: Size, resizing: Resizing
) -> NDArray[np.float64]:
    """Scale each axis by the factor it really got, which rounding makes differ from the nominal one."""
    factors = np.array([resized.width / original.width, resized.height / original.height] * 2)
    fixed = np.array(resizing.fixed_corner)
    resized_boxes: NDArray[np.float64] = (boxes.astype(np.float64) - fixed) * factors + fixed
    return resized_boxes


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(B, 2)`` x and y of the middle of each box."""
    centres: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return centres


def _in_random_order(scales: tuple[Scale, ...], generator: np.random.Generator) -> tuple[Scale, ...]:
    return tuple(scales[position] for position in generator.permutation(len(scales)))


def _draw_start(centre: float, jitter: int, length: int, total: int, generator: np.random.Generator) -> int:
    """First row or column of a crop around a jittered centre, inside the picture and holding the centre."""
    start = math.floor(centre - length / 2 + 0.5) + _draw_between(-jitter, jitter, generator)
    first = max(0, math.floor(centre) - length + 1)
    last = min(total - length, math.floor(centre))
    return min(max(start, first), last)


def _draw_between(one: int, other: int, generator: np.random.Generator) -> int:
    """An integer uniform between two others, both included."""
    return int(generator.integers(min(one, other), max(one, other), endpoint=True))


def _draw_flip(probability: float, generator: np.random.Generator) -> bool:
    return bool(generator.random() < probability)
