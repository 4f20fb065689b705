"""FPN, the feature pyramid of ResNet: torchvision's, given and giving tuples.

Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool


class FPN(nn.Module):
    """C2 to C5 in, P2 to P6 out; P6 is every second pixel of P5.

    Attributes:
        out_channels: Channels of every level.
        strides: Picture pixels per feature pixel of the levels.
    """

    def __init__(self, *, in_channels: Sequence[int], out_channels: int = 256) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.strides = (4, 8, 16, 32, 64)
        self.pyramid = FeaturePyramidNetwork([*in_channels], out_channels, extra_blocks=LastLevelMaxPool())

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Build the pyramid.

        Args:
            features: ``(N, C, H / s, W / s)`` for the strides s of 4, 8, 16 and 32.

        Returns:
            ``(N, out_channels, H / s, W / s)``, rounded up, for each of ``strides``.
        """
        levels = self.pyramid({f"c{index + 2}": x for index, x in enumerate(features)})
        return tuple(levels.values())
