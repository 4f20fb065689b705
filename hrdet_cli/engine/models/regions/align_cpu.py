"""RoIAlign on a CPU, as a sparse matrix.

A cell of a region is a weighted sum of features: its samples are a grid, and a sample's bilinear weights are
products of one for the row and one for the column that it reads. So RoIAlign is a sparse matrix of cells by
places of the levels, which maps the features of all places to those of cells, and transposed the gradients of
cells to those of places. Torch sums rows of a table that way where it looks up bags of words
(``embedding_bag``); a row has all channels of a place.

torchvision's kernels work positions and weights out anew for each channel on the way back, one sample after
the other in one thread.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.regions.align_by_level import refuse_ends
from hrdet_cli.engine.numerics import without_autocast

_NUM_REGIONS_AT_ONCE = 256
"""So that entries of the matrix stay in the caches, and few."""


def pool_regions(
    levels: Sequence[Tensor],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> Tensor:
    """As ``align_regions``, but NCHW in memory.

    Raises:
        ValueError: There are ends, or a margin.
    """
    refuse_ends(ends, margin)
    dtype = torch.promote_types(levels[0].dtype, regions.dtype)
    num_channels = levels[0].shape[1]
    table = levels[0].new_empty((sum(map(_num_places, levels)), num_channels), dtype=dtype)
    for rows, picture in _pictures_of(table, levels):
        rows.copy_(picture.T)
    grid = _Grid.of([level.shape for level in levels], strides, cells, sampling_ratio, aligned)
    pooled = levels[0].new_empty((len(level_index), num_channels, cells, cells))
    regions = regions.to(dtype)
    with without_autocast("cpu"):
        for begin in range(0, len(pooled), _NUM_REGIONS_AT_ONCE):
            part = slice(begin, begin + _NUM_REGIONS_AT_ONCE)
            matrix = _matrix_of(regions, level_index, part, grid)
            sums = _sums_of_rows(table, matrix.places, matrix.starts, matrix.weights)
            pooled[part] = sums.view(-1, cells, cells, num_channels).permute(0, 3, 1, 2)
    return pooled


def pool_regions_backward(
    gradient: Tensor,
    shapes: Sequence[Sequence[int]],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> list[Tensor]:
    """Gradients of the levels, of these shapes, in the dtype of the pooled features' ``gradient``.

    Raises:
        ValueError: As of ``pool_regions``.
    """
    refuse_ends(ends, margin)
    dtype = torch.promote_types(gradient.dtype, regions.dtype)
    of_levels = [gradient.new_empty(tuple(shape)) for shape in shapes]
    grid = _Grid.of(shapes, strides, cells, sampling_ratio, aligned)
    matrix = _matrix_of(regions.to(dtype), level_index, slice(None), grid)
    order = matrix.places.argsort(stable=True)
    num_entries = torch.bincount(matrix.places, minlength=sum(map(_num_places, of_levels)))
    by_cell = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1]).to(dtype)
    with without_autocast("cpu"):
        sums = _sums_of_rows(by_cell, matrix.cells[order], _starts_of(num_entries), matrix.weights[order])
    for rows, picture in _pictures_of(sums, of_levels):
        picture.copy_(rows.T)
    return of_levels


def _num_places(level: Tensor) -> int:
    return level.shape[0] * level.shape[2] * level.shape[3]


def _pictures_of(table: Tensor, levels: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each picture's rows of a table, and its ``(C, H * W)`` of a level; torch turns matrices over fast."""
    pictures = [picture for level in levels for picture in level.flatten(2)]
    return zip(table.split_with_sizes([picture.shape[1] for picture in pictures]), pictures, strict=True)


def _starts_of(counts: Tensor) -> Tensor:
    """Where each of some runs of entries, of these lengths and one behind the other, begins."""
    return counts.cumsum(0) - counts


def _sums_of_rows(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """``(B, C)``: of each bag, whose entries begin at its start, the weighted sum of rows of a table."""
    if not len(rows):
        return table.new_zeros(len(starts), table.shape[1])
    return F.embedding_bag(rows, table, starts.to(rows.dtype), mode="sum", per_sample_weights=weights)


class _Grid(NamedTuple):
    """How regions are sampled, and where the places of a level are in the table.

    Attributes:
        sizes: ``(L, 2)``, height and width of each level.
        origins: ``(L,)``, each level's first place.
        strides: ``(L,)``.
        num_cells: m.
        sampling_ratio: Samples along a side of a cell; 0 takes about one for each feature.
        aligned: Whether cells' middles are at whole numbers.
    """

    sizes: Tensor
    origins: Tensor
    strides: Tensor
    num_cells: int
    sampling_ratio: int
    aligned: bool

    @classmethod
    def of(
        cls,
        shapes: Sequence[Sequence[int]],
        strides: Sequence[int],
        num_cells: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> "_Grid":
        sizes = torch.tensor([tuple(shape[2:]) for shape in shapes])
        origins = _starts_of(shapes[0][0] * sizes.prod(1))
        return cls(sizes, origins, torch.tensor(strides), num_cells, sampling_ratio, aligned)


class _Matrix(NamedTuple):
    """Entries of a sparse matrix, cell by cell: ``m * m`` of each region, row by row.

    Attributes:
        cells: ``(T,)`` int32.
        places: ``(T,)`` int32.
        weights: ``(T,)``.
        starts: ``(R * m * m,)``, each cell's first entry.
    """

    cells: Tensor
    places: Tensor
    weights: Tensor
    starts: Tensor


def _matrix_of(regions: Tensor, level_index: Tensor, part: slice, grid: _Grid) -> _Matrix:
    """The rows of the matrix that are cells of some regions.

    Args:
        regions: ``(N, R, 4)``.
        level_index: ``(N * R,)``.
        part: Of the ``N * R``, those.
        grid: How they are sampled.
    """
    level = level_index[part].long()
    height, width = grid.sizes[level].unbind(1)
    picture = torch.arange(len(regions)).repeat_interleave(regions.shape[1])[part]
    origin = grid.origins[level] + picture * height * width
    boxes = regions.flatten(0, 1)[part] / grid.strides[level, None]
    rows = _readings(boxes[:, 1], boxes[:, 3], height, grid)
    columns = _readings(boxes[:, 0], boxes[:, 2], width, grid)

    num_entries = rows.counts[:, :, None] * columns.counts[:, None, :]
    starts = _starts_of(num_entries.flatten())
    first_places = (origin[:, None] + rows.begins * width[:, None])[:, :, None] + columns.begins[:, None, :]
    facts = (
        starts.view_as(num_entries),
        columns.counts[:, None, :],
        rows.first_weights[:, :, None],
        columns.first_weights[:, None, :],
        first_places,
        width[:, None, None],
    )
    of_cells = torch.stack([fact.expand_as(num_entries) for fact in facts], dim=-1).view(-1, len(facts)).int()
    cells = torch.repeat_interleave(num_entries.flatten())
    start, num_columns, of_row, of_column, place, line = of_cells.index_select(0, cells).unbind(1)
    number = torch.arange(len(cells), dtype=torch.int32) - start
    down = torch.div(number, num_columns, rounding_mode="floor")
    right = number - down * num_columns
    return _Matrix(
        cells=cells.int(),
        places=place + down * line + right,
        weights=rows.weights_at(of_row + down) * columns.weights_at(of_column + right),
        starts=starts,
    )


class _Readings(NamedTuple):
    """What the cells of regions read along one axis: features that follow each other.

    Attributes:
        weights: ``(R, m, F)``, what each feature counts in each row, or column, of cells.
        begins: ``(R, m)``, the first feature that is read.
        counts: ``(R, m)``, how many are.
    """

    weights: Tensor
    begins: Tensor
    counts: Tensor

    @property
    def first_weights(self) -> Tensor:
        """``(R, m)``, where among all weights those that are read begin."""
        num_lines, num_features = self.begins.numel(), self.weights.shape[-1]
        return torch.arange(num_lines).view_as(self.begins) * num_features + self.begins

    def weights_at(self, positions: Tensor) -> Tensor:
        """``(T,)``, of those among all."""
        return self.weights.flatten().index_select(0, positions)


def _readings(starts: Tensor, ends: Tensor, num_features: Tensor, grid: _Grid) -> _Readings:
    """What each region reads; nothing where it has no length, is off the map or is no number.

    Args:
        starts: ``(R,)``, of the regions, in features.
        ends: Likewise.
        num_features: ``(R,)``, along the axis of each region's level.
        grid: How they are sampled.
    """
    offset = 0.5 if grid.aligned else 0.0
    first, length = starts - offset, ends - starts
    if not grid.aligned:
        length = length.clamp(min=1)
    cell = (length / grid.num_cells)[:, None]
    num_samples = cell.ceil().nan_to_num(0, posinf=0)
    if grid.sampling_ratio:
        num_samples = torch.full_like(cell, grid.sampling_ratio)
    behind = num_features[:, None, None]
    numbers = torch.arange(_highest(num_samples))
    corners = first[:, None] + torch.arange(grid.num_cells) * cell
    samples = corners[:, :, None] + ((numbers + 0.5) * cell / num_samples)[:, None]
    # As torchvision's kernels do: up to a feature outside the outermost one is read, and farther off nothing.
    is_read = (numbers < num_samples)[:, None] & (samples >= -1) & (samples <= behind)
    share = torch.where(is_read, num_samples[:, :, None].reciprocal(), 0)
    samples = torch.where(is_read, samples, 0).clamp(min=0).minimum(behind - 1)
    low = samples.long()
    high = (low + 1).minimum(behind - 1)
    of_high = share * (samples - low)
    weights = samples.new_zeros(len(starts), grid.num_cells, _highest(num_features))
    weights.scatter_add_(2, low, share - of_high).scatter_add_(2, high, of_high)
    begins = torch.where(is_read, low, behind).amin(2)
    counts = (torch.where(is_read, high + 1, 0).amax(2) - begins).clamp(min=0)
    return _Readings(weights, begins, counts)


def _highest(counts: Tensor) -> int:
    """At least 1, as where there are no counts."""
    return max(1, int(counts.max())) if len(counts) else 1
