"""How pictures are placed: each kind of augmentation draws a scale, and perhaps a window to cut out."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.transforms import (
    OWN_RESIZING,
    Crop,
    Placement,
    Resizing,
    box_centres,
    resize_boxes,
    resize_within,
)
from hrdet_cli.engine.geometry import Scale, Size

_RANGE_GRID = 5  # of a range of scales so many long and so many short edges stand for all


class Augmentation(Protocol):
    """Draws how a picture is placed."""

    @property
    def choices(self) -> tuple[Scale, ...]:
        """All scales there are; empty where one is drawn from a range."""

    def typical_scales(self) -> tuple[Scale, ...]:
        """Scales that stand for all that can be drawn: the largest is among them."""

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw the scale of a picture."""

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
    resizing: Resizing = OWN_RESIZING

    def __post_init__(self) -> None:
        if not self.scales or (self.mode == "range" and len(self.scales) != 2):
            raise ValueError(f"mode '{self.mode}' cannot draw from {len(self.scales)} scales")

    @property
    def choices(self) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return self.scales if self.mode == "choice" else ()

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
            flipped=draw_flip(self.flip_probability, generator),
            resizing=self.resizing,
        )

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw one of the scales, or between the two."""
        if self.mode == "choice":
            return self.scales[generator.integers(len(self.scales))]
        first, second = self.scales
        long = draw_between(first.long, second.long, generator)
        short = draw_between(first.short, second.short, generator)
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
    resizing: Resizing = OWN_RESIZING

    def __post_init__(self) -> None:
        if not self.scales:
            raise ValueError("there is no scale to draw from")

    @property
    def choices(self) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return self.scales

    def typical_scales(self) -> tuple[Scale, ...]:
        """The scales to choose from."""
        return self.scales

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
            x, y = box_centres(resize_boxes(boxes, size, resized, self.resizing))[chosen].tolist()
            top = _draw_start(y, self.jitter_rows, cropped.height, resized.height, generator)
            left = _draw_start(x, self.jitter_columns, cropped.width, resized.width, generator)
        else:
            top = draw_between(0, resized.height - cropped.height, generator)
            left = draw_between(0, resized.width - cropped.width, generator)
        return Placement(
            resized=resized,
            crop=Crop(top=top, left=left, size=cropped),
            flipped=draw_flip(self.flip_probability, generator),
            resizing=self.resizing,
        )


def _draw_start(centre: float, jitter: int, length: int, total: int, generator: np.random.Generator) -> int:
    """First row or column of a crop around a jittered centre, inside the picture and holding the centre."""
    start = math.floor(centre - length / 2 + 0.5) + draw_between(-jitter, jitter, generator)
    first = max(0, math.floor(centre) - length + 1)
    last = min(total - length, math.floor(centre))
    return min(max(start, first), last)


def draw_between(one: int, other: int, generator: np.random.Generator) -> int:
    """An integer uniform between two others, both included."""
    return int(generator.integers(min(one, other), max(one, other), endpoint=True))


def draw_flip(probability: float, generator: np.random.Generator) -> bool:
    """Whether something of a probability happens."""
    return bool(generator.random() < probability)
