"""Convolutions with a norm behind them, or none, that necks and heads are made of.

Names of tensors: a convolution's own are ``weight`` and ``bias``, if it has one; its norm's are
``norm.weight`` and so on. A tower numbers its convolutions: ``0.weight``, ``0.norm.weight``, ``1.weight``.
Without a norm the names are therefore those of a plain convolution.

Batch norms are plain ones here, and become what a detector is normalised by together with its backbone's
(:func:`hrdet_cli.engine.norm.convert.convert_norm`). Group norms stay group norms.
"""

from collections.abc import Sequence
from math import gcd
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.winograd import Conv2d
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.valid_area import CountedArea, without_padding

NormChoice = Literal["batch", "group"]
"""What may follow a convolution; None is nothing."""

_NUM_GROUPS = 32
"""Wu and He, Group Normalization, arXiv:1803.08494, table 3."""


def build_norm(norm: NormChoice, num_channels: int) -> nn.Module:
    """A norm of so many channels; those that 32 does not divide are split by the greatest common divisor."""
    if norm == "batch":
        return nn.BatchNorm2d(num_channels)
    return nn.GroupNorm(gcd(_NUM_GROUPS, num_channels), num_channels)


class NormedConv(Conv2d):
    """A convolution that keeps the size, or divides it by its stride and rounds up; then a norm, or none.

    Attributes:
        norm: None where there is none.
    """

    norm: nn.Module | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        norm: NormChoice | None = None,
        has_bias: bool = False,
    ) -> None:
        """Build with torch's random weights; whoever has the convolution draws those of its kind.

        Args:
            in_channels: Of the input.
            out_channels: Of the output.
            kernel_size: Odd.
            stride: Input pixels per output pixel.
            norm: What follows.
            has_bias: Whether there is a bias in front of a norm, which makes it needless but for group norms;
                without a norm there always is one.
        """
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            bias=has_bias or norm is None,
        )
        self.norm = None if norm is None else build_norm(norm, out_channels)

    def forward(self, input: Tensor, area: CountedArea | None = None) -> Tensor:  # noqa: A002 - as the base
        """Map ``(N, C, H, W)`` to ``(N, out_channels, H / stride, W / stride)``.

        Args:
            input: Zero outside the area, if there is one.
            area: What is not padding; the output is zero elsewhere.
        """
        return run_in_step([self.steps(input, area)], area)[0]

    def steps(self, x: Tensor, area: CountedArea | None) -> NormSteps:
        """What ``forward`` does, as steps; to be run with the same area."""
        return (yield from self.norm_steps(super().forward(x), area))

    def norm_steps(self, x: Tensor, area: CountedArea | None) -> NormSteps:
        """What ``forward`` does behind the convolution, as steps."""
        if self.norm is None:
            return without_padding(x, area)
        return (yield self.norm, x)


class ConvTower(nn.ModuleList):
    """3x3 convolutions, each with its norm, or none, and a ReLU."""

    def __init__(
        self,
        in_channels: int,
        *,
        channels: int,
        num_convs: int,
        norm: NormChoice | None = None,
        has_bias: bool = False,
    ) -> None:
        """Build as ``NormedConv`` does.

        Args:
            in_channels: Of the first convolution; with no convolution at all, the tower's ``out_channels``.
            channels: Of every output.
            num_convs: How many; 0 leaves what comes in as it is.
            norm: What follows each.
            has_bias: As of ``NormedConv``.
        """
        super().__init__(
            NormedConv(in_channels if index == 0 else channels, channels, norm=norm, has_bias=has_bias)
            for index in range(num_convs)
        )
        self.out_channels = channels if num_convs else in_channels

    def forward(self, maps: Sequence[Tensor], area: CountedArea | None = None) -> list[Tensor]:
        """Run the tower on maps of any sizes, such as all levels of a pyramid, in step.

        Args:
            maps: ``(N, in_channels, H, W)`` each, zero outside the area, if there is one.
            area: What is not padding; outputs are zero elsewhere.

        Returns:
            ``(N, out_channels, H, W)`` for each.
        """
        return run_in_step([self.steps(x, area) for x in maps], area)

    def steps(self, x: Tensor, area: CountedArea | None) -> NormSteps:
        """What ``forward`` does with one map, so that several towers can be run in step."""
        return (yield from tower_steps([cast("NormedConv", conv) for conv in self], x, area))


def tower_steps(convs: Sequence[NormedConv], x: Tensor, area: CountedArea | None) -> NormSteps:
    """Convolutions, each with its norm, or none, and a ReLU, as steps."""
    for conv in convs:
        x = yield from conv.steps(x, area)
        x = F.relu(x, inplace=True)
    return x
