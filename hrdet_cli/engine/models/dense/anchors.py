"""The boxes that detectors with anchors start from."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, AnchorShapes
from hrdet_cli.engine.models.dense.cells import cell_step, cells_that_find, cells_that_train, lay_cells
from hrdet_cli.engine.structures import Size

_PLAIN = AnchorLayout()
_MOST_CELLS = 2**12
"""Along an edge of the finest level: of 16,384 pixels at stride 4."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """All anchors of one canvas: level by level, in a level row by row, in a row column by column.

    Attributes:
        boxes: ``(A, 4)`` float32 in canvas pixels; they may reach beyond the canvas.
        cell_corners: ``(A, 2)`` float32, x and y of the top left corner of each anchor's cell.
        numbers: ``(A,)`` int64 below 2**31, one for each; an anchor has the same on every canvas.
        level_lengths: Number of anchors on each level; their sum is A.
        layout: Says whose cells count, and what lies inside of a border.
    """

    boxes: Tensor
    cell_corners: Tensor
    numbers: Tensor
    level_lengths: list[int]
    layout: AnchorLayout

    def belong_to(self, sizes: Tensor) -> Tensor:
        """Whether an anchor may train: its cell begins in the picture, or in what ``area`` takes for it.

        Args:
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            ``(N, A)`` bool.
        """
        return cells_that_train(self.cell_corners, sizes, self.layout.area)

    def may_propose_in(self, sizes: Tensor) -> Tensor:
        """Whether an anchor may propose: any anchor, unless ``area`` is the picture.

        Arguments and result as of ``belong_to``.
        """
        return cells_that_find(self.cell_corners, sizes, self.layout.area)

    def lie_inside(self, sizes: Tensor, *, border: float) -> Tensor:
        """Whether an anchor reaches at most ``border`` pixels out of its picture.

        Args:
            sizes: ``(N, 2)`` int64, height and width of each picture.
            border: Pixels; 0 wants the whole anchor inside. What ends exactly there is where the layout's
                ``border_end`` says.

        Returns:
            ``(N, A)`` bool.
        """
        ends = sizes.flip(-1)[:, None] + border
        starts_inside = (self.boxes[:, :2] >= -border).all(dim=-1)
        ends_before = self.boxes[:, 2:] < ends
        if self.layout.border_end == "inside":
            ends_before |= self.boxes[:, 2:] == ends
        return starts_inside & ends_before.all(dim=-1)


class AnchorGenerator(nn.Module):
    """Lays anchors of a few shapes at every cell of every pyramid level.

    Attributes:
        cells: ``(L, shapes, 4)`` float32, the anchors of each level's cell at the origin.
    """

    cells: Tensor

    def __init__(
        self,
        *,
        strides: Sequence[int],
        scale: float | tuple[float, ...] = 8,
        scales_per_octave: int = 1,
        aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
        layout: AnchorLayout = _PLAIN,
    ) -> None:
        """Create the generator; arguments as of `AnchorShapes`."""
        super().__init__()
        self.strides = tuple(strides)
        self.layout = layout
        self.shapes = AnchorShapes(
            strides=self.strides,
            scale=scale,
            scales_per_octave=scales_per_octave,
            aspect_ratios=tuple(aspect_ratios),
            layout=layout,
        )
        self.num_per_cell = self.shapes.num_per_cell
        self.register_buffer("cells", torch.from_numpy(self.shapes.cells), persistent=False)

    def forward(self, grids: Sequence[Size]) -> Anchors:
        """Lay the anchors.

        Args:
            grids: Rows and columns of each level's feature map, the finest one's stride dividing the canvas.

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
        canvas = Size(grids[0].height * self.strides[0], grids[0].width * self.strides[0])
        corners = [
            lay_cells(
                grid,
                step=cell_step(grid, stride=stride, canvas=canvas, step=self.layout.step),
                device=device,
            )
            for grid, stride in zip(grids, self.strides, strict=True)
        ]
        cell_numbers = torch.cat([_cell_numbers(grid, level, device) for level, grid in enumerate(grids)])
        shape_numbers = torch.arange(self.num_per_cell, device=device)
        boxes = [
            (points.repeat(1, 2)[:, None] + shapes).reshape(-1, 4)
            for points, shapes in zip(corners, self.cells, strict=True)
        ]
        return Anchors(
            boxes=torch.cat(boxes),
            cell_corners=torch.cat(corners).repeat_interleave(self.num_per_cell, dim=0),
            numbers=(cell_numbers[:, None] * self.num_per_cell + shape_numbers).flatten(),
            level_lengths=[level.shape[0] for level in boxes],  # len() is a constant where it is exported
            layout=self.layout,
        )


def _cell_numbers(grid: Size, level: int, device: torch.device) -> Tensor:
    """``(rows * columns,)`` int64, counted on a grid that is larger than any canvas's."""
    rows = torch.arange(grid.height, device=device) + level * _MOST_CELLS
    columns = torch.arange(grid.width, device=device)
    return (rows[:, None] * _MOST_CELLS + columns).flatten()
