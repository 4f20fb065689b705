"""Which cells of a feature map are picture and which are padding, at every stride of a network.

A network that is given the area of its pictures keeps the rest of every map at zero: that is what a
convolution sees around a picture that is alone.  How large the canvas is then has no effect on anything.

A picture's area is its size rounded up to the backbone's coarsest stride: the canvas it would have by itself.

Maps that were cut out of pictures are padding as a whole or not at all.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS
from hrdet_cli.engine.structures import Size

_STRIDES = (2, 4, 8, 16, 32, 64, 128)
_NEXT_TO_NONE = 1e-30
"""Divides sums over no cells, which are zero, and adds nothing to the cells of other processes."""


@dataclass(frozen=True, slots=True)
class ValidCells:
    """The cells of a feature map that belong to the pictures.

    Attributes:
        is_valid: ``(N, 1, H, W)`` bool.
        sizes: ``(N, 2)`` int64, rows and columns of each picture's cells.
        count: Cells of all pictures together, a float64 scalar above zero.
    """

    is_valid: Tensor
    sizes: Tensor
    count: Tensor

    def extend(self, features: Tensor, *, num_cells: int) -> Tensor:
        """Repeat each picture's last column and row beyond its area, as reading at the edge of a map does.

        Args:
            features: ``(N, C, H, W)``, zero beyond the area.
            num_cells: How far.

        Returns:
            ``(N, C, H + num_cells, W + num_cells)``, zero beyond what was repeated.
        """
        extended = F.pad(features, (0, num_cells, 0, num_cells))
        for axis, ends in ((-2, self.sizes[:, 0]), (-1, self.sizes[:, 1])):
            positions = torch.arange(extended.shape[axis], device=ends.device)
            for step in range(num_cells):
                is_next = positions == ends[:, None] + step
                is_next = is_next[:, None, :, None] if axis == -2 else is_next[:, None, None, :]
                extended = extended + extended.roll(1, dims=axis) * is_next
        return extended


@dataclass(frozen=True, slots=True)
class ValidArea:
    """The area of N pictures on one canvas.

    Attributes:
        levels: The cells at strides 2, 4, 8, 16, 32, 64 and 128, at each as many as the area has, rounded up.
    """

    levels: tuple[ValidCells, ...]

    @classmethod
    def on_canvas(cls, canvas: Size, sizes: Tensor) -> Self:
        """Lay it out, without waiting for the device.

        Args:
            canvas: Both sides multiples of 32.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Raises:
            ValueError: The canvas is no multiple of 32.
        """
        if canvas.height % CANVAS_DIVISOR_PIXELS or canvas.width % CANVAS_DIVISOR_PIXELS:
            raise ValueError(
                "a canvas whose padding is hidden needs sides that are multiples of "
                f"{CANVAS_DIVISOR_PIXELS}, not {canvas}: pad it"
            )
        areas = _ceil_divide(sizes, CANVAS_DIVISOR_PIXELS) * CANVAS_DIVISOR_PIXELS
        return cls(tuple(_cells(canvas, areas, stride=stride) for stride in _STRIDES))

    def cells_of(self, features: Tensor) -> ValidCells:
        """The cells of a ``(N, C, H, W)`` map, which its shape tells from those of other strides.

        Strides at which the canvas is a single cell have the same cells.

        Raises:
            ValueError: No stride gives a map of this shape.
        """
        for cells in self.levels:
            if cells.is_valid.shape[-2:] == features.shape[-2:]:
                return cells
        known = ", ".join(str(Size(*cells.is_valid.shape[-2:])) for cells in self.levels)
        raise ValueError(f"no map of this canvas is {Size(*features.shape[-2:])}; they are {known}")


@dataclass(frozen=True, slots=True)
class ValidRegions:
    """Which of R regions, a fixed number, are there; the others are padding. There may be none.

    Attributes:
        is_valid: ``(R,)`` bool.
    """

    is_valid: Tensor

    def cells_of(self, features: Tensor) -> ValidCells:
        """The cells of ``(R, C, H, W)`` maps: all, or none of those of padding rows."""
        height, width = features.shape[-2:]
        return ValidCells(
            is_valid=self.is_valid[:, None, None, None].expand(-1, 1, height, width),
            sizes=torch.stack((self.is_valid * height, self.is_valid * width), dim=1),
            count=(self.is_valid.sum().double() * (height * width)).clamp(min=_NEXT_TO_NONE),
        )


CountedArea = ValidArea | ValidRegions
"""What a norm counts, and what is zero elsewhere."""


def without_padding(features: Tensor, area: CountedArea | None) -> Tensor:
    """Features with zeros in the padding; with no area they are left as they are."""
    return features if area is None else features * area.cells_of(features).is_valid


def _cells(canvas: Size, areas: Tensor, *, stride: int) -> ValidCells:
    sizes = _ceil_divide(areas, stride)
    # Not -(-height // stride): torch's export to ONNX rounds the quotient of negative numbers up.
    rows = torch.arange((canvas.height + stride - 1) // stride, device=sizes.device) < sizes[:, :1]
    columns = torch.arange((canvas.width + stride - 1) // stride, device=sizes.device) < sizes[:, 1:]
    return ValidCells(
        is_valid=rows[:, None, :, None] & columns[:, None, None, :],
        sizes=sizes,
        count=sizes.prod(dim=1).sum().double(),
    )


def _ceil_divide(values: Tensor, divisor: int) -> Tensor:
    return (values + divisor - 1) // divisor
