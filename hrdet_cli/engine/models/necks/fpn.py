"""FPN, the feature pyramid of ResNet: torchvision's, given and giving tuples.

Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork

from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding


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
        self.pyramid = FeaturePyramidNetwork([*in_channels], out_channels)

    def forward(self, features: Sequence[Tensor], area: ValidArea | None = None) -> Pyramid:
        """Build the pyramid.

        Args:
            features: ``(N, C, H / s, W / s)`` for the strides s of 4, 8, 16 and 32.
            area: Where the pictures are, if nothing is to depend on the padding.

        Returns:
            ``(N, out_channels, H / s, W / s)``, rounded up, for each of ``strides``, and the area.
        """
        # Torchvision's modules, but not its forward pass, which cannot know of the padding.
        levels: list[Tensor] = []
        merged: Tensor | None = None
        modules = zip(self.pyramid.inner_blocks, self.pyramid.layer_blocks, features, strict=True)
        for lateral, smooth, x in reversed([*modules]):
            own = lateral(x)
            if merged is not None:
                own = own + F.interpolate(merged, size=own.shape[-2:], mode="nearest")
            merged = without_padding(own, area)
            levels.insert(0, without_padding(smooth(merged), area))
        coarsest = F.max_pool2d(levels[-1], kernel_size=1, stride=2)
        return Pyramid((*levels, coarsest), self.strides, area)
