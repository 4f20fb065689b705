"""Every setting of the neck reaches what is built."""

import torch
from torch import nn

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.necks.levels import FinestStride
from hrdet_cli.runs.build.neck import build_neck
from hrdet_cli.specs.neck import NeckSpec

OTHER = NeckSpec(
    channels=40, norm="group", interpolation="nearest", pooling="max", coarse_from="neck", coarse_relu=True
)


def hrfpn(neck: NeckSpec, *, finest_stride: FinestStride) -> HRFPN:
    with torch.device("meta"):
        built = build_neck(neck, HRNet(HRNET_CONFIGS["small"]), finest_stride=finest_stride)
    assert isinstance(built, HRFPN)
    return built


def fpn(neck: NeckSpec, *, finest_stride: FinestStride) -> FPN:
    with torch.device("meta"):
        built = build_neck(neck, ResNet(depth=50, frozen_stages=0), finest_stride=finest_stride)
    assert isinstance(built, FPN)
    return built


def test_settings_of_hrfpn() -> None:
    neck = hrfpn(OTHER, finest_stride=8)

    assert (neck.out_channels, neck.interpolation, neck.pooling) == (40, "nearest", "max")
    assert neck.strides == (8, 16, 32, 64, 128)
    assert sum(isinstance(module, nn.GroupNorm) for module in neck.modules()) == 6


def test_settings_of_fpn() -> None:
    neck = fpn(OTHER, finest_stride=8)

    assert neck.out_channels == 40
    assert neck.coarse_convs == CoarseConvs(source="neck", with_relu=True)
    assert neck.strides == (8, 16, 32, 64, 128)
    assert sum(isinstance(module, nn.GroupNorm) for module in neck.modules()) == 8


def test_without_settings_necks_are_the_published_ones() -> None:
    necks = [build(NeckSpec(), finest_stride=4) for build in (hrfpn, fpn)]

    assert [neck.strides for neck in necks] == [(4, 8, 16, 32, 64)] * 2
    assert fpn(NeckSpec(), finest_stride=4).coarse_convs is None
    assert fpn(NeckSpec(), finest_stride=8).coarse_convs == CoarseConvs(source="backbone", with_relu=False)
    norms = nn.BatchNorm2d | nn.GroupNorm
    assert not any(isinstance(module, norms) for neck in necks for module in neck.modules())
