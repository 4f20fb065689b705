"""Cuts a small feature map of fixed size out of the pyramid for every region."""

from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.valid_area import ValidArea

# A region that is another level's business is moved here on this level: RoIAlign reads nothing so far out.
_FAR_OUTSIDE_PIXELS = -1e5


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

    How many regions a level gets is known on the device alone. A GPU must not be waited for, so there every
    level sees every region (``pool_everywhere``); a CPU has nothing to wait for but is slow at RoIAlign, so
    there the regions are sorted by level (``pool_by_level``). Both give the same result to the bit.
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
        num_pictures, num_regions = regions.shape[:2]
        levels = pyramid_levels(
            regions, num_levels=len(self.strides), finest_side_pixels=self.finest_side_pixels
        )
        picture_index = torch.arange(num_pictures, device=regions.device, dtype=regions.dtype)
        picture_index = picture_index[:, None, None].expand(-1, num_regions, 1)
        rois = torch.cat((picture_index, regions), dim=2).flatten(0, 1)
        poolers = [
            partial(
                roi_align,
                level if pyramid.area is None else self._extended(level, pyramid.area),
                output_size=self.cells,
                spatial_scale=1 / stride,
                sampling_ratio=self.sampling_ratio,
                aligned=self.aligned,
            )
            for level, stride in zip(pyramid.levels, self.strides, strict=False)
        ]
        pool = pool_everywhere if regions.is_cuda else pool_by_level
        return pool(poolers, rois, levels.flatten())

    def _extended(self, features: Tensor, area: ValidArea) -> Tensor:
        """With as many more cells as RoIAlign reads beyond a picture.

        It reads the two cells on either side of a sample, which lies up to half a cell behind the middle of
        the last one; half a cell more without ``aligned``, where regions are made a whole cell wide, too.
        """
        return area.cells_of(features).extend(features, num_cells=1 if self.aligned else 2)


def pool_everywhere(poolers: Sequence[Callable[..., Tensor]], rois: Tensor, levels: Tensor) -> Tensor:
    """Pool with static shapes: all regions on all levels, out of sight on all but their own, and added up.

    Args:
        poolers: For each level, a function of ``boxes``, such as ``rois``.
        rois: ``(R, 5)`` float32: index of the picture, then a box in canvas pixels.
        levels: ``(R,)``, the level of each.

    Returns:
        ``(R, C, cells, cells)``.
    """

    def pool(level: int) -> Tensor:
        boxes = rois[:, 1:].where((levels == level)[:, None], _FAR_OUTSIDE_PIXELS)
        return poolers[level](boxes=torch.cat((rois[:, :1], boxes), dim=1))

    return reduce(torch.add, (pool(level) for level in range(len(poolers))))


def pool_by_level(poolers: Sequence[Callable[..., Tensor]], rois: Tensor, levels: Tensor) -> Tensor:
    """Pool each region on its own level only; arguments and result as of ``pool_everywhere``."""
    rows = [(levels == level).nonzero().squeeze(1) for level in range(len(poolers))]
    pooled = [pooler(boxes=rois[own_rows]) for pooler, own_rows in zip(poolers, rows, strict=True)]
    return torch.cat(pooled).index_select(0, torch.cat(rows).argsort())
