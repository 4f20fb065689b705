"""ResNet and ResNeXt of 50 and 101 layers as backbones: torchvision's networks and names, no classifier.

He et al., Deep Residual Learning for Image Recognition, arXiv:1512.03385.  A block that halves the resolution
has its stride in the first 1x1 convolution there, as the published Caffe weights have it (``caffe``), and in
the 3x3 one in torchvision's (``pytorch``).  Parameters are the same; weights of one style compute nonsense in
the other.

Xie et al., Aggregated Residual Transformations for Deep Neural Networks, arXiv:1611.05431: ResNeXt is the
same network, whose 3x3 convolutions have groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.backbones.bottleneck import Bottleneck, ResNetStyle
from hrdet_cli.engine.models.backbones.deformable import DeformableConv, DeformableVersion
from hrdet_cli.engine.models.backbones.stages import freeze_stages
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.norm.remade import rectify
from hrdet_cli.engine.norm.sync import normalise
from hrdet_cli.engine.norm.valid_area import ValidArea

_NUM_BLOCKS_BY_DEPTH = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_STEM_CHANNELS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class DeformableStages:
    """Stages whose 3x3 convolutions are deformable.

    Attributes:
        version: Of the convolutions, see ``DeformableConv``.
        levels: Those of their maps: 3 to 5 for C3 to C5.
        num_groups: Sets of moves, see ``DeformableConv``.
    """

    version: DeformableVersion
    levels: Sequence[int] = (3, 4, 5)
    num_groups: int = 1


class ResNet(nn.Module):
    """Four stages at strides 4 to 32; parameters have torchvision's names.

    Of ResNet-50's 53 norms, the four on shortcuts are reached together with one on the main path.

    Attributes:
        out_channels: Channels of the four maps.
        strides: Picture pixels per feature pixel of the four maps.
    """

    def __init__(
        self,
        *,
        depth: int,
        frozen_stages: int,
        style: ResNetStyle = "pytorch",
        cardinality: int = 1,
        group_width: int = 64,
        deformable: DeformableStages | None = None,
        recompute: Recomputation = "off",
    ) -> None:
        """Build with random weights.

        Args:
            depth: Number of layers, 50 or 101.
            frozen_stages: 0 trains everything; n freezes the stem and the first n stages: no gradient, and
                norms that keep their statistics in training mode.
            style: Where a block has its stride.
            cardinality: Groups of each 3x3 convolution; more than one make a ResNeXt.
            group_width: Channels of each group in the first stage, which double in each further one.
            deformable: Stages with deformable convolutions; None has none.
            recompute: What of the stem and each residual block is computed again.

        Raises:
            ValueError: Another depth, or ``frozen_stages`` not in 0..4.
        """
        super().__init__()
        if depth not in _NUM_BLOCKS_BY_DEPTH:
            depths = ", ".join(map(str, _NUM_BLOCKS_BY_DEPTH))
            raise ValueError(f"there is no ResNet-{depth} here; depths are {depths}")
        self.out_channels = (256, 512, 1024, 2048)
        self.strides = (4, 8, 16, 32)
        self.recompute = recompute
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        in_channels = (_STEM_CHANNELS, *self.out_channels)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _make_layer(
                in_channels[index],
                cardinality * group_width * 2**index,
                self.out_channels[index],
                num_blocks=num_blocks,
                stride=1 if index == 0 else 2,
                style=style,
                groups=cardinality,
            )
            for index, num_blocks in enumerate(_NUM_BLOCKS_BY_DEPTH[depth])
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if deformable is not None:
            self._deform(deformable)
        freeze_stages(self, self.stages, num_frozen=frozen_stages)

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The parts of the four stages, the first with the stem."""
        first, *others = self._layers()
        return ((self.conv1, self.bn1, first), *((layer,) for layer in others))

    def _deform(self, deformable: DeformableStages) -> None:
        first_map = 2
        for level in deformable.levels:
            for block in self._layers()[level - first_map]:
                plain = cast("nn.Conv2d", block.conv2)
                block.conv2 = DeformableConv(
                    plain, version=deformable.version, num_groups=deformable.num_groups
                )

    def _layers(self) -> tuple[nn.Sequential, ...]:
        """The blocks of each stage."""
        return self.layer1, self.layer2, self.layer3, self.layer4

    def forward(self, pixels: Tensor, area: ValidArea | None = None) -> tuple[Tensor, ...]:
        """Compute C2 to C5.

        Args:
            pixels: ``(N, 3, H, W)`` normalised floats.
            area: As of HRNet.

        Returns:
            ``(N, C, H / s, W / s)``, rounded up, for each of ``out_channels`` and ``strides``.
        """
        x = run_segment(self._run_stem, pixels, area, recompute=self.recompute, parts=(self.bn1,))
        features = []
        for layer in self._layers():
            for block in layer:
                x = run_segment(block, x, area, recompute=self.recompute)
            features.append(x)
        return tuple(features)

    def _run_stem(self, pixels: Tensor, area: ValidArea | None) -> Tensor:
        """From pixels to stride 4."""
        x = rectify(normalise(self.bn1, self.conv1(pixels), area))
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)


def _make_layer(
    in_channels: int,
    inner_channels: int,
    out_channels: int,
    *,
    num_blocks: int,
    stride: int,
    style: ResNetStyle,
    groups: int,
) -> nn.Sequential:
    """Blocks of which the first has the stride, and a convolution on its shortcut."""
    downsample = nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )
    return nn.Sequential(
        Bottleneck(
            in_channels,
            inner_channels,
            out_channels,
            stride=stride,
            style=style,
            groups=groups,
            downsample=downsample,
        ),
        *(
            Bottleneck(out_channels, inner_channels, out_channels, groups=groups)
            for _ in range(num_blocks - 1)
        ),
    )
