"""Loaded into our networks, weights of other code give the features of the other code."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.structures import ClassRows
from hrdet_cli.engine.weights.loading import load_weights
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours


def with_statistics(network: nn.Module) -> nn.Module:
    """As if trained: norms whose statistics, scales and shifts are not those of a new network."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.2), (module.running_var, 0.7), (module.weight, 0.4)):
                assert tensor is not None
                tensor.data.uniform_(low, low + 0.4, generator=generator)
            module.bias.data.uniform_(-0.2, 0.2, generator=generator)
    return network.eval()


class OnlyBackbone(nn.Module):
    class_rows: Mapping[str, ClassRows] = MappingProxyType({})

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.eval()


def loaded(backbone: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    detector = OnlyBackbone(backbone)
    load_weights(detector, to_ours(tensors, recognise(tensors)[0]), strict=True, source="oracle")
    return detector.backbone


@pytest.fixture
def pixels() -> Tensor:
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_hrnet_gives_timm_s_features(pixels: Tensor) -> None:
    import timm

    classifier = with_statistics(timm.create_model("hrnet_w18"))
    oracle = timm.create_model("hrnet_w18", features_only=True, feature_location="", out_indices=(1, 2, 3, 4))
    oracle.load_state_dict(classifier.state_dict(), strict=False)
    ours = loaded(HRNet(HRNET_CONFIGS["w18"]), dict(classifier.state_dict()))
    for mine, theirs in zip(ours(pixels), oracle.eval()(pixels), strict=True):
        assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_resnet_gives_torchvision_s_features(pixels: Tensor) -> None:
    classifier = with_statistics(resnet50())
    oracle = IntermediateLayerGetter(classifier, {f"layer{stage}": str(stage) for stage in range(1, 5)})
    ours = loaded(ResNet(depth=50, frozen_stages=0), dict(classifier.state_dict()))
    for mine, theirs in zip(ours(pixels), oracle(pixels).values(), strict=True):
        assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
