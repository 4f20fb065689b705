"""HRFPN, the feature pyramid of HRNetV2p.

Wang et al., arXiv:1908.07919, figure 4c: all four branches meet at stride 4, where one 1x1 convolution mixes
them; the pyramid is that map, averaged down, with a 3x3 convolution of its own on each level.  Other
interpolation and pooling are what mmdetection 2 and 3 can have in their place.  Where a pyramid starts at
stride 8, each level's convolution has a stride of 2, as in mmdetection's FCOS on HRNet.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.necks.levels import FinestStride, hrfpn_levels
from hrdet_cli.engine.models.normed_convs import NormChoice, NormedConv
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.numerics import interpolate

Interpolation = Literal["bilinear", "nearest"]
Pooling = Literal["average", "max"]


class HRFPN(nn.Module):
    """Four maps of HRNet in, a pyramid of equal channels out.

    Attributes:
        out_channels: Channels of every level.
        strides: Picture pixels per feature pixel of the levels: 4, 8, 16 and so on.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int = 256,
        finest_stride: FinestStride = 4,
        norm: NormChoice | None = None,
        interpolation: Interpolation = "bilinear",
        pooling: Pooling = "average",
    ) -> None:
        """Build with random weights.

        Args:
            in_channels: Of the four maps.
            out_channels: Of every level.
            finest_stride: Of the first of five levels.
            norm: What follows each convolution.
            interpolation: How the coarser maps are brought to stride 4; corners are not aligned.
            pooling: How the coarser levels are made.
        """
        super().__init__()
        self.out_channels = out_channels
        self.strides = hrfpn_levels(finest_stride).strides
        self.interpolation = interpolation
        self.pooling = pooling
        self.reduction_conv = NormedConv(sum(in_channels), out_channels, kernel_size=1, norm=norm)
        self.fpn_convs = nn.ModuleList(
            NormedConv(out_channels, out_channels, stride=finest_stride // 4, norm=norm) for _ in self.strides
        )
        for module in self.modules():
            if isinstance(module, NormedConv):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, features: Sequence[Tensor], area: ValidArea | None = None) -> Pyramid:
        """Build the pyramid.

        Args:
            features: ``(N, C, H / s, W / s)`` for the strides s of 4, 8, 16 and 32; H and W multiples of 32.
            area: Where the pictures are, if nothing is to depend on the padding.

        Returns:
            ``(N, out_channels, H / s, W / s)`` for each of ``strides``; pooling rounds down, and a stride
            up. With an area, which it then has too, all is rounded up, where the last row and column are
            made of what there is.
        """
        mixed = self._mixed(features, area)
        levels = run_in_step(
            [self._level_steps(mixed, level, area) for level in range(len(self.strides))], area
        )
        return Pyramid(tuple(levels), self.strides, area)

    def _mixed(self, features: Sequence[Tensor], area: ValidArea | None) -> Tensor:
        """What the 1x1 convolution makes of all maps at stride 4: ``(N, out_channels, H / 4, W / 4)``."""
        if features[0].device.type != "cpu" or torch.compiler.is_compiling():
            return self._mixed_together(features, area)
        return self._mixed_apart(features, area)

    def _mixed_together(self, features: Sequence[Tensor], area: ValidArea | None) -> Tensor:
        enlarged = [self._enlarged(x, index, area) for index, x in enumerate(features)]
        mixed: Tensor = self.reduction_conv(torch.cat(enlarged, dim=1), area)
        return mixed

    def _mixed_apart(self, features: Sequence[Tensor], area: ValidArea | None) -> Tensor:
        """Mix each map where it is small, then enlarge what that makes, and add it up.

        As the one knows no neighbours and the other no channels, that is the same but for rounding. A map of
        all channels is not made, nor kept for the backward pass.
        """
        conv = self.reduction_conv
        weights = torch.split(conv.weight, [x.shape[1] for x in features], dim=1)
        biases = [conv.bias, *[None] * (len(features) - 1)]
        parts = (
            self._enlarged(F.conv2d(x, weight, bias), index, area)
            for index, (x, weight, bias) in enumerate(zip(features, weights, biases, strict=True))
        )
        return run_in_step([conv.norm_steps(reduce(Tensor.add_, parts), area)], area)[0]

    def _enlarged(self, x: Tensor, branch: int, area: ValidArea | None) -> Tensor:
        """A branch's map at stride 4.

        Between a picture's last pixel and its edge that pixel's value stays, on every canvas.
        """
        if branch == 0:
            return x
        scale = 2**branch
        if self.interpolation == "nearest":
            return interpolate(x, scale_factor=scale, mode="nearest")
        extended = x if area is None else area.cells_of(x).extend(x, num_cells=1)
        enlarged = interpolate(extended, scale_factor=scale, mode="bilinear", align_corners=False)
        if area is None:
            return enlarged
        return F.pad(enlarged, (0, -scale, 0, -scale))  # a slice's gradient would not be channels-last

    def _level_steps(self, mixed: Tensor, level: int, area: ValidArea | None) -> NormSteps:
        pool = _averaged if self.pooling == "average" else _largest
        conv = cast("NormedConv", self.fpn_convs[level])
        return (yield from conv.steps(pool(mixed, 2**level, area), area))


def _averaged(mixed: Tensor, side: int, area: ValidArea | None) -> Tensor:
    """Means of ``side`` by ``side`` pixels; with an area, of those that belong to the pictures."""
    if side == 1:
        return mixed
    if area is None:
        return F.avg_pool2d(mixed, kernel_size=side)
    is_valid = area.cells_of(mixed).is_valid.to(mixed.dtype)
    share = F.avg_pool2d(is_valid, kernel_size=side, ceil_mode=True)
    means = F.avg_pool2d(mixed, kernel_size=side, ceil_mode=True)
    return means / share.where(share > 0, 1.0)


def _largest(mixed: Tensor, side: int, area: ValidArea | None) -> Tensor:
    """The largest of ``side`` by ``side`` pixels; with an area, of those that belong to the pictures."""
    if side == 1:
        return mixed
    if area is None:
        return F.max_pool2d(mixed, kernel_size=side)
    pictures = mixed.masked_fill(~area.cells_of(mixed).is_valid, -torch.inf)
    largest = F.max_pool2d(pictures, kernel_size=side, ceil_mode=True)
    return largest.masked_fill(~area.cells_of(largest).is_valid, 0)
