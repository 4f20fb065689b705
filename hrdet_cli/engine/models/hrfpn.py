"""HRFPN, the feature pyramid of HRNetV2p.

Wang et al., arXiv:1908.07919, figure 4c: all four branches meet at stride 4, where one 1x1 convolution mixes
them; the pyramid is that map, averaged down, with a 3x3 convolution of its own on each level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HRFPN(nn.Module):
    """Four maps of HRNet in, a pyramid of equal channels out.

    Attributes:
        out_channels: Channels of every level.
        strides: Picture pixels per feature pixel of the levels: 4, 8, 16 and so on.
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int = 256, num_levels: int = 5) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.strides = tuple(4 * 2**level for level in range(num_levels))
        self.reduction_conv = nn.Conv2d(sum(in_channels), out_channels, kernel_size=1)
        self.fpn_convs = nn.ModuleList(
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1) for _ in range(num_levels)
        )
        for conv in (self.reduction_conv, *self.fpn_convs):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            nn.init.zeros_(conv.bias)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            features: ``(N, C, H / s, W / s)`` for the strides s of 4, 8, 16 and 32; H and W multiples of 32.

        Returns:
            ``(N, out_channels, H / s, W / s)``, rounded down, for each of ``strides``.
        """
        at_stride_4 = [
            x if index == 0 else F.interpolate(x, scale_factor=2**index, mode="bilinear", align_corners=False)
            for index, x in enumerate(features)
        ]
        mixed = self.reduction_conv(torch.cat(at_stride_4, dim=1))
        return tuple(
            conv(mixed if level == 0 else F.avg_pool2d(mixed, kernel_size=2**level))
            for level, conv in enumerate(self.fpn_convs)
        )
