"""The points that detectors without anchors predict from: one for each of a pyramid's cells."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.dense.cells import cell_step, cells_that_find, cells_that_train, lay_cells
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.structures import Size


@dataclass(frozen=True, slots=True)
class Points:
    """All points of one canvas: level by level, in a level row by row, in a row column by column.

    Attributes:
        places: ``(A, 2)`` float32, x and y in canvas pixels.
        strides: ``(A,)`` float32, those of the points' levels.
        level_lengths: Number of points on each level; their sum is A.
        layout: Where they lie in their cells, and which count.
    """

    places: Tensor
    strides: Tensor
    level_lengths: list[int]
    layout: PointLayout

    def belong_to(self, sizes: Tensor) -> Tensor:
        """Whether a point may train: its cell begins in the picture, or in what ``area`` takes for it.

        Args:
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            ``(N, A)`` bool.
        """
        return cells_that_train(self._corners, sizes, self.layout.area)

    def may_find_in(self, sizes: Tensor) -> Tensor:
        """Whether something may be found at a point: at any, unless ``area`` is the picture.

        Arguments and result as of ``belong_to``.
        """
        return cells_that_find(self._corners, sizes, self.layout.area)

    @property
    def _corners(self) -> Tensor:
        return self.places - self.strides[:, None] * self.layout.offset


def lay_points(
    grids: Sequence[Size], strides: Sequence[int], *, layout: PointLayout, device: torch.device
) -> Points:
    """Lay a point in every cell.

    Args:
        grids: Rows and columns of each level, the finest one's stride dividing the canvas.
        strides: Picture pixels per cell of each level.
        layout: Where they lie in their cells, and which count.
        device: Where to lay them.
    """
    canvas = Size(grids[0].height * strides[0], grids[0].width * strides[0])
    places = [
        lay_cells(grid, step=cell_step(grid, stride=stride, canvas=canvas, step=layout.step), device=device)
        + stride * layout.offset
        for grid, stride in zip(grids, strides, strict=True)
    ]
    return Points(
        places=torch.cat(places),
        strides=torch.cat(
            [torch.full_like(level[:, 0], stride) for level, stride in zip(places, strides, strict=True)]
        ),
        level_lengths=[level.shape[0] for level in places],  # len() is a constant where it is exported
        layout=layout,
    )
