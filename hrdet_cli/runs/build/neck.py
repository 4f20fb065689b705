"""From spec to engine: the neck, whose kind follows from the backbone."""

from hrdet_cli.engine.models.backbones.hrnet import HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.necks.fpn import FPN
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.specs.neck import NeckSpec


def build_neck(neck: NeckSpec, backbone: HRNet | ResNet) -> HRFPN | FPN:
    """HRFPN behind HRNet, FPN behind ResNet, on the five levels from stride 4 on."""
    if isinstance(backbone, ResNet):
        return FPN(in_channels=backbone.out_channels, out_channels=neck.channels)
    return HRFPN(
        in_channels=backbone.out_channels,
        out_channels=neck.channels,
        interpolation=neck.interpolation,
        pooling=neck.pooling,
    )
