"""The cells of a pyramid: where each begins, and which of them belong to a picture."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS
from hrdet_cli.engine.models.dense.anchor_shapes import CellArea
from hrdet_cli.engine.structures import Size


def lay_cells(grid: Size, *, step: Size, device: torch.device) -> Tensor:
    """The cells of a level, row by row and in a row column by column.

    Args:
        grid: Rows and columns.
        step: Pixels from one row to the next, and from one column to the next.
        device: Where to lay them.

    Returns:
        ``(rows * columns, 2)`` float32: x and y of each cell's top left corner.
    """
    rows = torch.arange(grid.height, dtype=torch.float32, device=device) * step.height
    columns = torch.arange(grid.width, dtype=torch.float32, device=device) * step.width
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), dim=-1).reshape(-1, 2)


def cell_step(grid: Size, *, stride: int, canvas: Size, step: Literal["stride", "canvas"]) -> Size:
    """Pixels from one row of a level's cells to the next, and from one column to the next.

    Args:
        grid: Rows and columns.
        stride: Of the level.
        canvas: Of all levels.
        step: See ``AnchorLayout``.
    """
    if step == "canvas":
        return Size(canvas.height // grid.height, canvas.width // grid.width)
    return Size(stride, stride)


def cells_that_train(corners: Tensor, sizes: Tensor, area: CellArea) -> Tensor:
    """Whether what a cell predicts may train: the cell begins in the picture, or what ``area`` takes for it.

    Args:
        corners: ``(C, 2)``, x and y of the cells' top left corners.
        sizes: ``(N, 2)`` int64, height and width of each picture.
        area: Whose cells count.

    Returns:
        ``(N, C)`` bool.
    """
    if area == "canvas":
        return torch.ones(len(sizes), corners.shape[0], dtype=torch.bool, device=sizes.device)
    if area == "padded":
        sizes = -(-sizes // CANVAS_DIVISOR_PIXELS) * CANVAS_DIVISOR_PIXELS
    width_and_height = sizes.flip(-1)[:, None]
    return (corners < width_and_height).all(dim=-1)


def cells_that_find(corners: Tensor, sizes: Tensor, area: CellArea) -> Tensor:
    """Whether what is predicted at a cell may be found: any cell's, unless ``area`` is the picture.

    Arguments and result as of ``cells_that_train``.
    """
    return cells_that_train(corners, sizes, "picture" if area == "picture" else "canvas")


def grids_of(levels: Sequence[Tensor]) -> list[Size]:
    """Rows and columns of each level's ``(N, C, H, W)`` map."""
    return [Size(level.shape[-2], level.shape[-1]) for level in levels]


def rows_of_cells(maps: Tensor, *, width: int) -> Tensor:
    """Predictions of a level in the order of its cells.

    Args:
        maps: ``(N, predictions * width, H, W)``, each cell's predictions side by side.
        width: Numbers in a prediction.

    Returns:
        ``(N, H * W * predictions, width)``; a view where the maps are channels-last in memory.
    """
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, width)
