"""Cuts a small feature map of fixed size out of the pyramid for every region."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions import align_by_level
from hrdet_cli.engine.models.regions.region_align import align_regions
from hrdet_cli.engine.norm.valid_area import ValidArea


def pyramid_levels(regions: Tensor, *, num_levels: int, finest_side_pixels: float) -> Tensor:
    """The level on which to look at each region: the larger the region, the coarser.

    Equation 1 of FPN (https://arxiv.org/abs/1612.03144), with mmdetection's rounding.

    Args:
        regions: ``(..., 4)`` float32 boxes.
        num_levels: Levels to choose from.
        finest_side_pixels: Regions whose mean side is below twice this look at level 0.

    Returns:
        ``(...)`` float32 whole numbers in ``0 .. num_levels - 1``.
    """
    sides = regions[..., 2:] - regions[..., :2]
    mean_side = sides.prod(dim=-1).sqrt()
    return torch.log2(mean_side / finest_side_pixels + 1e-6).floor().clamp(0, num_levels - 1)


class RegionPooling(nn.Module):
    """RoIAlign (https://arxiv.org/abs/1703.06870, section 3) on the level that fits each region.

    A CPU computes it from levels that go on behind the pictures, where those end before the level does; a GPU
    is told where they end (``align_regions``).
    """

    def __init__(
        self,
        *,
        strides: Sequence[int],
        cells: int = 7,
        sampling_ratio: int,
        aligned: bool,
        finest_side_pixels: float = 56,
        semantic: "RegionPooling | None" = None,
    ) -> None:
        """Create the module.

        Args:
            strides: Of the levels to look at, finest first; coarser levels of the pyramid are left alone.
            cells: Cells per side of the result.
            sampling_ratio: Samples per cell and axis; 0 takes about one for each feature cell.
            aligned: Whether feature ``i`` is centred at ``i + 0.5`` strides, as it should be, or at ``i``.
            finest_side_pixels: Scale of the choice of level, see ``pyramid_levels``.
            semantic: Pools the pyramid's semantic features, which are averaged to as many cells and added, as
                in HTC; None leaves them alone.
        """
        super().__init__()
        self.strides = tuple(strides)
        self.cells = cells
        self.sampling_ratio = sampling_ratio
        self.aligned = aligned
        self.finest_side_pixels = finest_side_pixels
        self.semantic = semantic

    def forward(self, pyramid: Pyramid, regions: Tensor) -> Tensor:
        """Pool.

        Args:
            pyramid: With at least as many levels as there are strides. If it has an area, regions at the
                edges of pictures find there what they would find at the edge of the canvas.
            regions: ``(N, R, 4)`` float32 in canvas pixels.

        Returns:
            ``(N * R, C, cells, cells)`` in the features' dtype, picture by picture.

        Raises:
            ValueError: Semantic features are to be added, and the pyramid has none.
        """
        pooled = self._pool(pyramid, regions)
        if self.semantic is None:
            return pooled
        if (maps := pyramid.semantic) is None:
            raise ValueError("the pyramid has no semantic features: its head did not prepare it")
        around = self.semantic(Pyramid((maps.features,), strides=(maps.stride,), area=pyramid.area), regions)
        return pooled + F.adaptive_avg_pool2d(around, self.cells)

    def _pool(self, pyramid: Pyramid, regions: Tensor) -> Tensor:
        levels, area = pyramid.levels[: len(self.strides)], pyramid.area
        level_index = pyramid_levels(
            regions, num_levels=len(self.strides), finest_side_pixels=self.finest_side_pixels
        )
        level_index = level_index.flatten().to(torch.int32)
        if area is not None and regions.is_cuda and triton_kernels.are_used():
            ends = torch.stack([area.cells_of(level).sizes for level in levels], dim=1).to(torch.int32)
            margin = self._num_cells_read_beyond
        else:
            ends, margin = None, 0
            levels = levels if area is None else tuple(self._extended(level, area) for level in levels)
        # Other programs have RoIAlign of one level.
        pool = align_by_level.pool_regions if torch.compiler.is_exporting() else align_regions
        pooled: Tensor = pool(
            levels,
            regions,
            level_index,
            ends,
            self.strides,
            self.cells,
            self.sampling_ratio,
            self.aligned,
            margin,
        )
        return pooled

    def _extended(self, features: Tensor, area: ValidArea) -> Tensor:
        """With as many more cells as RoIAlign reads beyond a picture.

        It reads the two cells on either side of a sample, which lies up to half a cell behind the middle of
        the last one; half a cell more without ``aligned``, where regions are made a whole cell wide, too.
        """
        return area.cells_of(features).extend(features, num_cells=self._num_cells_read_beyond)

    @property
    def _num_cells_read_beyond(self) -> int:
        return 1 if self.aligned else 2
