"""FPN, the feature pyramid of ResNet, with torchvision's names.

Lin et al., Feature Pyramid Networks for Object Detection, arXiv:1612.03144; with two coarser levels made by
convolutions, as heads that predict at every cell have them: Lin et al., Focal Loss for Dense Object
Detection, arXiv:1708.02002, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.necks.levels import fpn_levels
from hrdet_cli.engine.models.normed_convs import NormChoice, NormedConv, build_norm
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.winograd import Conv2d
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.numerics import interpolate


@dataclass(frozen=True, kw_only=True, slots=True)
class CoarseConvs:
    """How two 3x3 convolutions of stride 2 make P6 and, of it, P7.

    ======================================== ========== ========= ===========================================
    whose                                    source     with_relu where
    ======================================== ========== ========= ===========================================
    mmdetection's RetinaNet                  backbone   no        ``necks/fpn.py``, ``on_input``
    mmdetection's FCOS on ResNet             neck       yes       ``on_output``, ``relu_before_extra_convs``
    torchvision's RetinaNet v1, and its FCOS neck       yes       ``LastLevelP6P7(256, 256)``
    torchvision's RetinaNet v2, detectron2's backbone   yes       ``LastLevelP6P7(2048, 256)``
    ======================================== ========== ========= ===========================================

    Attributes:
        source: What P6 is made of: C5, or P5.
        with_relu: P7 is made of what a ReLU leaves of P6; P6 itself stays as it is.
    """

    source: Literal["backbone", "neck"] = "backbone"
    with_relu: bool = False


class FPN(nn.Module):
    """C2 to C5 in, P2 to P6 or P3 to P7 out.

    Attributes:
        out_channels: Channels of every level.
        strides: Picture pixels per feature pixel of the levels.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        out_channels: int = 256,
        norm: NormChoice | None = None,
        coarse_convs: CoarseConvs | None = None,
    ) -> None:
        """Build with random weights.

        Args:
            in_channels: Of C2 to C5.
            out_channels: Of every level.
            norm: What follows each convolution.
            coarse_convs: What makes P6 and P7 of a pyramid from P3 on; None makes one from P2 to P6, which is
                every second pixel of P5.
        """
        super().__init__()
        self.out_channels = out_channels
        self.strides = fpn_levels(4 if coarse_convs is None else 8).strides
        self.coarse_convs = coarse_convs
        laterals = in_channels if coarse_convs is None else in_channels[1:]
        convs = [
            (_plain_conv(channels, out_channels, 1, norm), _plain_conv(out_channels, out_channels, 3, norm))
            for channels in laterals
        ]
        inner_blocks, layer_blocks = (nn.ModuleList(blocks) for blocks in zip(*convs, strict=True))
        self.pyramid = nn.ModuleDict({"inner_blocks": inner_blocks, "layer_blocks": layer_blocks})
        _draw_weights(self.pyramid)
        if coarse_convs is not None:
            source_channels = in_channels[-1] if coarse_convs.source == "backbone" else out_channels
            extra_blocks = nn.ModuleDict(
                {
                    "p6": NormedConv(source_channels, out_channels, stride=2, norm=norm),
                    "p7": NormedConv(out_channels, out_channels, stride=2, norm=norm),
                }
            )
            _draw_weights(extra_blocks)
            self.pyramid["extra_blocks"] = extra_blocks

    def forward(self, features: Sequence[Tensor], area: ValidArea | None = None) -> Pyramid:
        """Build the pyramid.

        Args:
            features: ``(N, C, H / s, W / s)`` for the strides s of 4, 8, 16 and 32.
            area: Where the pictures are, if nothing is to depend on the padding.

        Returns:
            ``(N, out_channels, H / s, W / s)``, rounded up, for each of ``strides``, and the area.
        """
        laterals, smooth_convs = (
            cast("nn.ModuleList", self.pyramid[name]) for name in ("inner_blocks", "layer_blocks")
        )
        sources = features[-len(laterals) :]
        merged = run_in_step([_steps(*pair, area) for pair in zip(laterals, sources, strict=True)], area)
        for level in reversed(range(len(merged) - 1)):
            coarser = interpolate(merged[level + 1], size=merged[level].shape[-2:], mode="nearest")
            merged[level] = without_padding(merged[level] + coarser, area)
        levels = run_in_step([_steps(*pair, area) for pair in zip(smooth_convs, merged, strict=True)], area)
        return Pyramid((*levels, *self._coarser(levels[-1], features[-1], area)), self.strides, area)

    def _coarser(self, p5: Tensor, c5: Tensor, area: ValidArea | None) -> tuple[Tensor, ...]:
        """P6, or P6 and P7."""
        if self.coarse_convs is None:
            return (F.max_pool2d(p5, kernel_size=1, stride=2),)
        convs = cast("nn.ModuleDict", self.pyramid["extra_blocks"])
        p6 = convs["p6"](c5 if self.coarse_convs.source == "backbone" else p5, area)
        return p6, convs["p7"](F.relu(p6) if self.coarse_convs.with_relu else p6, area)


def _plain_conv(
    in_channels: int, out_channels: int, kernel_size: int, norm: NormChoice | None
) -> nn.Sequential:
    """A convolution and its norm, or none, which torchvision numbers 0 and 1."""
    conv = Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=norm is None)
    return nn.Sequential(conv) if norm is None else nn.Sequential(conv, build_norm(norm, out_channels))


def _draw_weights(convs: nn.Module) -> None:
    for conv in convs.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)


def _steps(block: nn.Module, x: Tensor, area: ValidArea | None) -> NormSteps:
    conv, *norms = cast("nn.Sequential", block)
    x = conv(x)
    for norm in norms:
        return (yield norm, x)
    return without_padding(x, area)
