"""The boxes that the region proposal network starts from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.structures import Size

_MOST_CELLS = 2**12
"""Along an edge of the finest level: of 16,384 pixels at stride 4."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """All anchors of one canvas: level by level, in a level row by row, in a row column by column.

    Attributes:
        boxes: ``(A, 4)`` float32 in canvas pixels; they may reach beyond the canvas.
        centres: ``(A, 2)`` float32, x and y, exact (halving a box's corners would round).
        numbers: ``(A,)`` int64 below 2**31, one for each; an anchor has the same on every canvas.
        level_lengths: Number of anchors on each level; their sum is A.
    """

    boxes: Tensor
    centres: Tensor
    numbers: Tensor
    level_lengths: list[int]

    def have_centre_in(self, sizes: Tensor) -> Tensor:
        """Whether an anchor belongs to the picture and not to the padding right of and below it.

        Args:
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            ``(N, A)`` bool.
        """
        width_and_height = sizes.flip(-1)[:, None]
        return (self.centres < width_and_height).all(dim=-1)

    def lie_inside(self, sizes: Tensor, *, border: float) -> Tensor:
        """Whether an anchor reaches at most ``border`` pixels out of its picture.

        Args:
            sizes: ``(N, 2)`` int64, height and width of each picture.
            border: Pixels; 0 wants the whole anchor inside.

        Returns:
            ``(N, A)`` bool.
        """
        width_and_height = sizes.flip(-1)[:, None]
        starts_inside = (self.boxes[:, :2] >= -border).all(dim=-1)
        return starts_inside & (self.boxes[:, 2:] <= width_and_height + border).all(dim=-1)


class AnchorGenerator(nn.Module):
    """Lays anchors of a few shapes at every cell of every pyramid level.

    As in mmdetection 3: an anchor is centred on its cell's top left corner, at ``(column * stride,
    row * stride)``, and nothing is rounded. (torchvision and the 2019 code round to whole pixels.)
    """

    cells: Tensor

    def __init__(
        self, *, strides: Sequence[int], scale: float = 8, aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0)
    ) -> None:
        """Create the generator.

        Args:
            strides: Pixels from one cell to the next, for each level.
            scale: Square root of an anchor's area in units of its level's stride.
            aspect_ratios: Height over width of each anchor of a cell.
        """
        super().__init__()
        self.strides = tuple(strides)
        self.num_per_cell = len(aspect_ratios)
        half_roots = [0.5 * math.sqrt(ratio) for ratio in aspect_ratios]
        shapes = [(-0.25 / half, -half, 0.25 / half, half) for half in half_roots]
        cells = torch.tensor(shapes) * scale * torch.tensor(self.strides)[:, None, None]
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, grids: Sequence[Size]) -> Anchors:
        """Lay the anchors.

        Args:
            grids: Rows and columns of each level's feature map.

        Returns:
            The anchors, on the device of this module.

        Raises:
            ValueError: The canvas is too large for each anchor to have a number of its own.
        """
        if any(max(grid.height, grid.width) > _MOST_CELLS for grid in grids):
            raise ValueError(
                f"a canvas may have {_MOST_CELLS * self.strides[0]} pixels along an edge at most"
            )
        device = self.cells.device
        centres = [
            _grid_points(grid, stride=stride, device=device)
            for grid, stride in zip(grids, self.strides, strict=True)
        ]
        cell_numbers = torch.cat([_cell_numbers(grid, level, device) for level, grid in enumerate(grids)])
        shape_numbers = torch.arange(self.num_per_cell, device=device)
        boxes = [
            (points.repeat(1, 2)[:, None] + shapes).reshape(-1, 4)
            for points, shapes in zip(centres, self.cells, strict=True)
        ]
        return Anchors(
            boxes=torch.cat(boxes),
            centres=torch.cat(centres).repeat_interleave(self.num_per_cell, dim=0),
            numbers=(cell_numbers[:, None] * self.num_per_cell + shape_numbers).flatten(),
            level_lengths=[len(level) for level in boxes],
        )


def _grid_points(grid: Size, *, stride: int, device: torch.device) -> Tensor:
    """``(rows * columns, 2)`` float32: x and y of each cell's top left corner, row by row."""
    rows = torch.arange(grid.height, dtype=torch.float32, device=device) * stride
    columns = torch.arange(grid.width, dtype=torch.float32, device=device) * stride
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(-1, 2)


def _cell_numbers(grid: Size, level: int, device: torch.device) -> Tensor:
    """``(rows * columns,)`` int64, counted on a grid that is larger than any canvas's."""
    rows = torch.arange(grid.height, device=device) + level * _MOST_CELLS
    columns = torch.arange(grid.width, device=device)
    return (rows[:, None] * _MOST_CELLS + columns).flatten()
