"""Against torchvision's block, bit by bit."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck as TorchvisionBottleneck

from hrdet_cli.engine.models.backbones.bottleneck import Bottleneck
from hrdet_cli.engine.norm import in_step
from hrdet_cli.engine.norm.sync import normalise_together


def shortcut(channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 16, 1, stride, bias=False), nn.BatchNorm2d(16))


def trained_once(block: Any) -> list[Tensor]:
    x = torch.randn(2, block.conv1.in_channels, 6, 8, generator=torch.Generator().manual_seed(1))
    y = block(x.requires_grad_())
    gradients = torch.autograd.grad(y.square().sum(), [x, *block.parameters()])
    return [y, *gradients, *block.state_dict().values()]


@pytest.mark.parametrize(("channels", "stride", "has_shortcut"), [(16, 1, False), (8, 1, True), (8, 2, True)])
def test_output_gradients_and_statistics_are_those_of_torchvision(
    channels: int, stride: int, has_shortcut: bool
) -> None:
    downsample = shortcut(channels, stride) if has_shortcut else None
    oracle = TorchvisionBottleneck(channels, 4, stride=stride, downsample=copy.deepcopy(downsample))
    block = Bottleneck(channels, 4, 16, stride=stride, downsample=downsample)
    block.load_state_dict(oracle.state_dict(), strict=True)

    ours, theirs = trained_once(block), trained_once(oracle)

    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(("has_shortcut", "expected"), [(False, [1, 1, 1]), (True, [2, 1, 1])])
def test_the_shortcuts_norm_is_due_with_the_first_of_the_main_path(
    has_shortcut: bool, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def record(requests: Any, area: None) -> list[Tensor]:
        if requests:
            sizes.append(len(requests))
        return normalise_together(requests, area)

    monkeypatch.setattr(in_step, "normalise_together", record)
    Bottleneck(16, 4, 16, downsample=shortcut(16, 1) if has_shortcut else None)(torch.zeros(1, 16, 3, 3))

    assert sizes == expected
