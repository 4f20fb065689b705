"""Which anchors there are, as numbers: shapes, strides and layout. Does not import torch."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CellArea = Literal["picture", "padded", "canvas"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorLayout:
    """Where anchors lie, in which families of detectors differ.

    Attributes:
        offset: Where in its cell an anchor is centred, in strides: 0 is the top left corner (mmdetection 2
            and 3, torchvision), 0.5 the middle (the 2019 code).
        is_rounded: Corners, as at the origin, are whole pixels, halves the even ones (the 2019 code,
            torchvision).
        has_whole_sides: Before that, the square root of an anchor's area is whole pixels, the rest dropped
            (torchvision's RetinaNet).
        step: Pixels from one cell to the next. ``"canvas"``, as in torchvision, is the canvas's side divided
            by the number of cells and rounded down: less than a stride where that does not divide the canvas
            and the network adds a cell for the rest, more where it drops the rest.
        area: Whose cells have anchors that train and propose: the picture's, or all (torchvision).
            ``"padded"``, as in mmdetection: those of the picture with its sides rounded up to multiples of 32
            train, and all propose.
        border_end: Where an anchor lies whose right or lower side is exactly on the border that anchors may
            reach, as sides in whole pixels often are: ``"outside"`` in mmdetection 2 and 3, which kept the
            comparison of the 2019 code when boxes no longer ended with their last pixel.
    """

    offset: float = 0.0
    is_rounded: bool = False
    has_whole_sides: bool = False
    step: Literal["stride", "canvas"] = "stride"
    area: CellArea = "picture"
    border_end: Literal["inside", "outside"] = "inside"


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorShapes:
    """The anchors of every cell of every level of a pyramid.

    Attributes:
        strides: Pixels from one cell to the next, for each level.
        scale: Square root of the smallest anchors' area in units of their level's stride, of all levels or of
            each, the finest first.
        scales_per_octave: Number of scales, each 2 to the power of one over this number as large as the one
            before, up to twice ``scale``, which is the next level's.
        aspect_ratios: Height over width of the anchors of a cell, which come ratio by ratio and within each
            scale by scale.
        layout: Where the anchors lie; by default as in mmdetection 3.
    """

    strides: tuple[int, ...]
    scale: float | tuple[float, ...] = 8
    scales_per_octave: int = 1
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    layout: AnchorLayout = AnchorLayout()

    def __str__(self) -> str:
        """The anchors of a cell, in words."""
        octave = f", {self.scales_per_octave} an octave" if self.scales_per_octave > 1 else ""
        ratios = ", ".join(f"{ratio:g}" for ratio in self.aspect_ratios)
        if isinstance(self.scale, tuple):
            scales = " ".join(f"{scale:g}" for scale in self.scale)
            return f"scales {scales} by level{octave}, ratios {ratios}"
        return f"scale {self.scale:g}{octave}, ratios {ratios}"

    @property
    def num_per_cell(self) -> int:
        """Anchors of each cell."""
        return len(self.aspect_ratios) * self.scales_per_octave

    @property
    def cells(self) -> NDArray[np.float32]:
        """``(L, shapes, 4)``: the anchors of each level's cell at the origin."""
        half_roots = [0.5 * math.sqrt(ratio) for ratio in self.aspect_ratios]
        shapes = np.array([(-0.25 / half, -half, 0.25 / half, half) for half in half_roots], dtype=np.float32)
        cells = shapes[None, :, None] * self._sides[:, None, :, None]
        strides = np.array(self.strides, dtype=np.float32)[:, None, None]
        cells = cells.reshape(len(strides), -1, 4) + np.float32(self.layout.offset) * strides
        return cells.round() if self.layout.is_rounded else cells

    @property
    def level_scales(self) -> tuple[float, ...]:
        """``scale`` of each level."""
        return self.scale if isinstance(self.scale, tuple) else (self.scale,) * len(self.strides)

    def sides(self) -> list[list[float]]:
        """Square roots of the areas of each level's anchors, in pixels, before any rounding."""
        steps = [2 ** (step / self.scales_per_octave) for step in range(self.scales_per_octave)]
        levels = zip(self.strides, self.level_scales, strict=True)
        return [[stride * (scale * step) for step in steps] for stride, scale in levels]

    @property
    def _sides(self) -> NDArray[np.float32]:
        """``(L, scales)``: square roots of the anchors' areas, in pixels."""
        sides = np.array(self.sides())
        return (np.floor(sides) if self.layout.has_whole_sides else sides).astype(np.float32)
