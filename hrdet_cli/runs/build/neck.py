"""From spec to engine: the neck, whose kind follows from the backbone."""

from hrdet_cli.engine.models.backbones.hrnet import HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.necks.levels import FinestStride
from hrdet_cli.specs.neck import NeckSpec


def build_neck(neck: NeckSpec, backbone: HRNet | ResNet, *, finest_stride: FinestStride) -> HRFPN | FPN:
    """HRFPN behind HRNet, FPN behind ResNet, on the five levels from a stride on."""
    if isinstance(backbone, ResNet):
        coarse_convs = CoarseConvs(source=neck.coarse_from, with_relu=neck.coarse_relu)
        return FPN(
            in_channels=backbone.out_channels,
            out_channels=neck.channels,
            norm=neck.norm,
            coarse_convs=None if finest_stride == 4 else coarse_convs,
        )
    return HRFPN(
        in_channels=backbone.out_channels,
        out_channels=neck.channels,
        finest_stride=finest_stride,
        norm=neck.norm,
        interpolation=neck.interpolation,
        pooling=neck.pooling,
    )
