"""The residual block of ResNet-50 and of HRNet's first stage."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.remade import rectify
from hrdet_cli.engine.norm.valid_area import ValidArea

ResNetStyle = Literal["pytorch", "caffe"]
"""Which convolution of a block has its stride: ``pytorch`` the 3x3 one, ``caffe`` the first."""


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; names of parameters are torchvision's.

    Where the shortcut has a norm, it runs in step with the main path.
    """

    def __init__(
        self,
        in_channels: int,
        inner_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        style: ResNetStyle = "pytorch",
        groups: int = 1,
        downsample: nn.Sequential | None = None,
    ) -> None:
        """Build with torch's random weights; whoever has the block draws those of its kind.

        Args:
            in_channels: Of the input.
            inner_channels: Of the 3x3 convolution.
            out_channels: Of the output.
            stride: Input pixels per output pixel.
            style: Which convolution has the stride.
            groups: Of the 3x3 convolution.
            downsample: A convolution and its norm that make the shortcut of the input's size and channels
                that of the output's; None where they are the same.
        """
        super().__init__()
        strides = (stride, 1) if style == "caffe" else (1, stride)
        self.conv1 = nn.Conv2d(in_channels, inner_channels, kernel_size=1, stride=strides[0], bias=False)
        self.bn1 = nn.BatchNorm2d(inner_channels)
        self.conv2: nn.Module = nn.Conv2d(
            inner_channels,
            inner_channels,
            kernel_size=3,
            stride=strides[1],
            padding=1,
            groups=groups,
            bias=False,
        )
        self.bn2 = nn.BatchNorm2d(inner_channels)
        self.conv3 = nn.Conv2d(inner_channels, out_channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.downsample = downsample

    def forward(self, x: Tensor, area: ValidArea | None = None) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            x: The block's input.
            area: What is not padding; the output is zero elsewhere.
        """
        main, shortcut = run_in_step([self._main_steps(x), _shortcut_steps(self.downsample, x)], area)
        return F.relu(main.add_(shortcut), inplace=True)

    def _main_steps(self, x: Tensor) -> NormSteps:
        x = yield self.bn1, self.conv1(x)
        x = yield self.bn2, self.conv2(rectify(x))
        x = yield self.bn3, self.conv3(rectify(x))
        return x


def _shortcut_steps(downsample: nn.Sequential | None, x: Tensor) -> NormSteps:
    if downsample is not None:
        conv, norm = downsample
        x = yield norm, conv(x)
    return x
