"""RoIAlign of one level on a CPU, of matrix products.

RoIAlign is separable: the samples of a cell are a grid, and a sample's bilinear weights are products of one
for the row and one for the column that it reads. So a region's ``m`` by ``m`` cells are ``Y f X^T`` of each
channel ``f`` of its level, where Y and X are what the cells read along either axis, and its share of the
level's gradient is ``Y^T g X``. Channels lie innermost meanwhile: a region is two products of matrices for
all of them, on the part of the level that it reads.

torchvision's kernels work positions and weights out anew for each channel on the way back, one sample after
the other in one thread.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hrdet_cli.engine.numerics import without_autocast


def cut_regions(
    features: Tensor, rois: Tensor, *, scale: float, num_cells: int, sampling_ratio: int, aligned: bool
) -> Tensor:
    """What ``torchvision_operators.roi_align`` computes, but for rounding.

    Args:
        features: ``(N, C, H, W)``, finite.
        rois: ``(R, 5)`` of the same dtype: index of the picture, then the box.
        scale: As of ``roi_align``, as all that follows.
        num_cells: m.
        sampling_ratio: Samples along a side of a cell.
        aligned: Whether cells' middles are at whole numbers.

    Returns:
        ``(R, C, m, m)``.
    """
    _, num_channels, height, width = features.shape
    readings = _readings(rois, height, width, _Grid(scale, num_cells, sampling_ratio, aligned))
    by_place = _with_channels_innermost(features)
    pooled = features.new_zeros(len(rois), num_channels, num_cells**2)
    with without_autocast("cpu"):
        for index, picture, y, x in readings:
            part = by_place[picture, y.begin : y.end, x.begin * num_channels : x.end * num_channels]
            rows = torch.mm(y.weights, part).view(num_cells, -1, num_channels)
            cells = torch.bmm(x.weights.expand(num_cells, -1, -1), rows)
            pooled[index].copy_(cells.view(-1, num_channels).T)
    return pooled.view(len(rois), num_channels, num_cells, num_cells)


def spread_regions(
    gradient: Tensor,
    rois: Tensor,
    shape: Sequence[int],
    *,
    scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """What ``torchvision_operators.roi_align_backward`` computes, but for rounding.

    Args:
        gradient: ``(R, C, m, m)``, of the pooled features.
        rois: As of ``cut_regions``, as all that is not explained.
        shape: Of the level: N, C, H and W.
        scale: See there.
        sampling_ratio: See there.
        aligned: See there.

    Returns:
        ``(N, C, H, W)``.
    """
    num_pictures, num_channels, height, width = shape
    num_cells = gradient.shape[-1]
    readings = _readings(rois, height, width, _Grid(scale, num_cells, sampling_ratio, aligned))
    by_cell = gradient.permute(0, 2, 3, 1)
    by_place = gradient.new_zeros(num_pictures, height, width * num_channels)
    with without_autocast("cpu"):
        for index, picture, y, x in readings:
            rows = torch.bmm(x.weights.T.expand(num_cells, -1, -1), by_cell[index])
            part = by_place[picture, y.begin : y.end, x.begin * num_channels : x.end * num_channels]
            part.addmm_(y.weights.T, rows.view(num_cells, -1))
    of_level = gradient.new_empty(tuple(shape))
    for picture_of_level, sums in zip(of_level.flatten(2), by_place, strict=True):
        picture_of_level.copy_(sums.view(-1, num_channels).T)
    return of_level


def _with_channels_innermost(features: Tensor) -> Tensor:
    """``(N, H, W * C)``; a copy, picture by picture, since torch turns over nothing but matrices fast."""
    num_pictures, num_channels, height, width = features.shape
    if features.is_contiguous(memory_format=torch.channels_last):
        return features.permute(0, 2, 3, 1).reshape(num_pictures, height, -1)
    by_place = features.new_empty(num_pictures, height * width, num_channels)
    for places, picture in zip(by_place, features.flatten(2), strict=True):
        places.copy_(picture.T)
    return by_place.view(num_pictures, height, -1)


class _Grid(NamedTuple):
    """How regions are sampled; the arguments of ``cut_regions``."""

    scale: float
    num_cells: int
    sampling_ratio: int
    aligned: bool


class _Reading(NamedTuple):
    """What the cells of a region read along one axis.

    Attributes:
        weights: ``(m, end - begin)``, what each feature counts in each row, or column, of cells.
        begin: The first feature that is read.
        end: Behind the last one.
    """

    weights: Tensor
    begin: int
    end: int


def _readings(
    rois: Tensor, height: int, width: int, grid: _Grid
) -> Iterator[tuple[int, int, _Reading, _Reading]]:
    """For each region that reads anything its index, its picture's, and what it reads of rows and columns."""
    along_y = _readings_of_axis(rois[:, 2], rois[:, 4], height, grid)
    along_x = _readings_of_axis(rois[:, 1], rois[:, 3], width, grid)
    pictures = rois[:, 0].int().tolist()
    for index, (picture, y, x) in enumerate(zip(pictures, along_y, along_x, strict=True)):
        if y is not None and x is not None:
            yield index, picture, y, x


def _readings_of_axis(starts: Tensor, ends: Tensor, num_features: int, grid: _Grid) -> list[_Reading | None]:
    """What each region reads; None where it has no length, is off the map or is no number.

    Args:
        starts: ``(R,)``, of the regions, in pixels.
        ends: Likewise.
        num_features: Along the axis.
        grid: How they are sampled.
    """
    if not len(starts):
        return []
    offset = 0.5 if grid.aligned else 0.0
    first = starts * grid.scale - offset
    length = ends * grid.scale - offset - first
    if not grid.aligned:
        length = length.clamp(min=1)
    cell = (length / grid.num_cells)[:, None]
    num_samples = cell.ceil().nan_to_num(0, posinf=0)
    if grid.sampling_ratio:
        num_samples = torch.full_like(cell, grid.sampling_ratio)
    numbers = torch.arange(max(1, int(num_samples.max())))
    corners = first[:, None] + torch.arange(grid.num_cells) * cell
    samples = corners[:, :, None] + ((numbers + 0.5) * cell / num_samples)[:, None]
    # As torchvision's kernels do: up to a feature outside the outermost one is read, and farther off nothing.
    is_read = (numbers < num_samples)[:, None] & (samples >= -1) & (samples <= num_features)
    share = torch.where(is_read, num_samples[:, :, None].reciprocal(), 0)
    samples = torch.where(is_read, samples.clamp(0, num_features - 1), 0)
    low = samples.long()
    high = (low + 1).clamp(max=num_features - 1)
    of_high = share * (samples - low)
    weights = samples.new_zeros(len(starts), grid.num_cells, num_features)
    weights.scatter_add_(2, low, share - of_high).scatter_add_(2, high, of_high)
    begins = torch.where(is_read, low, num_features).amin((1, 2)).tolist()
    behind = torch.where(is_read, high + 1, 0).amax((1, 2)).tolist()
    return [
        _Reading(of_region[:, begin:end], begin, end) if begin < end else None
        for of_region, begin, end in zip(weights, begins, behind, strict=True)
    ]
