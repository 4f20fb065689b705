"""Deformable convolutions: every tap of a kernel looks where a second convolution tells it to.

Dai et al., Deformable Convolutional Networks, arXiv:1703.06211 (v1), and Zhu et al., Deformable ConvNets v2,
arXiv:1811.11168, which also weighs every tap.

Names of tensors: ``weight``, ``conv_offset.weight`` and ``conv_offset.bias``, as mmdetection has them. The
channels of ``conv_offset`` are how far each tap moves, down and then right, tap by tap along the kernel's
rows, group by group; in v2 the taps' weights follow, before their sigmoid.
"""

from typing import Literal

import torch
from torch import Tensor, nn

DeformableVersion = Literal["v1", "v2"]

_TAPS = 9
"""Of a 3x3 kernel."""


class DeformableConv(nn.Module):
    """A 3x3 convolution without bias; in float32 at least, because positions have places behind the point.

    As long as nothing has moved it is the convolution that it replaces, or in v2 half of that.
    """

    def __init__(self, replaced: nn.Conv2d, *, version: DeformableVersion, num_groups: int = 1) -> None:
        """Take another convolution's place, with its weights and its stride, and moves of zero.

        Args:
            replaced: 3x3, with padding of 1 and without bias.
            version: v2 weighs the taps.
            num_groups: Sets of moves among which the input's channels are shared out.

        Raises:
            ValueError: The channels cannot be shared out so.
        """
        super().__init__()
        channels = replaced.in_channels
        if channels % num_groups:
            raise ValueError(f"{channels} channels cannot be shared out among {num_groups} sets of moves")
        self.weight = replaced.weight
        self.stride = replaced.stride
        self.num_moving = num_groups * _TAPS
        self.weighs_taps = version == "v2"
        self.conv_offset = nn.Conv2d(
            channels,
            self.num_moving * (3 if self.weighs_taps else 2),
            kernel_size=3,
            stride=replaced.stride,  # type: ignore[arg-type]  # which torch declares to be of any length
            padding=1,
        )
        for parameter in self.conv_offset.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` as the replaced convolution does; beyond the input everything is zero."""
        from torchvision.ops import deform_conv2d  # slow to import, and few networks have such convolutions

        with torch.autocast(x.device.type, enabled=False):
            features = x.to(self.weight.dtype)
            moves, weights = self.conv_offset(features), None
            if self.weighs_taps:
                moves, weights = moves.split((2 * self.num_moving, self.num_moving), dim=1)
                weights = weights.sigmoid()
            output: Tensor = deform_conv2d(
                features, moves, self.weight, stride=self.stride, padding=1, mask=weights
            )
        return output.to(x.dtype)
