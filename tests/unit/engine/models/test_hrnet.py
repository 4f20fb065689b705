"""HRNet against timm's, which was written apart from this one and loads the same public files."""

import math
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.hrnet import HRNET_CONFIGS, HRNet

SMALL = HRNET_CONFIGS["small"]


def build_oracle(width: str) -> nn.Module:
    oracle: nn.Module = timm.create_model(
        f"hrnet_{width}", pretrained=False, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    return oracle


def on_meta(width: str) -> HRNet:
    with torch.device("meta"):
        return HRNet(HRNET_CONFIGS[width])


@pytest.mark.parametrize("width", ["w18", "w32"])
def test_features_equal_those_of_timm_in_training_and_in_evaluation(width: str) -> None:
    torch.manual_seed(0)
    oracle, network = build_oracle(width), HRNet(HRNET_CONFIGS[width])
    network.load_state_dict(oracle.state_dict())
    pixels = torch.randn(2, 3, 64, 96)

    with torch.no_grad():
        for is_training in (True, False):  # the first changes the statistics that the second uses
            ours, theirs = network.train(is_training)(pixels), oracle.train(is_training)(pixels)
            for our_map, their_map in zip(ours, theirs, strict=True):
                torch.testing.assert_close(our_map, their_map, rtol=1e-5, atol=1e-5)
    statistics = dict(network.named_buffers())
    for name, expected in oracle.named_buffers():
        torch.testing.assert_close(statistics[name], expected)


def test_keys_are_those_of_the_public_files() -> None:
    keys = on_meta("w18").state_dict().keys()

    assert len(keys) == 1830  # 305 convolutions, and 305 norms of five tensors
    assert keys >= {
        "conv1.weight",
        "bn2.running_mean",
        "layer1.0.downsample.1.running_var",
        "layer1.3.conv3.weight",
        "transition1.0.0.weight",
        "transition1.1.0.0.weight",
        "transition3.3.0.1.bias",
        "stage2.0.branches.1.3.bn2.weight",
        "stage3.3.fuse_layers.0.2.1.running_mean",
        "stage4.2.fuse_layers.3.0.2.0.weight",
    }


@pytest.mark.parametrize(
    ("width", "num_millions"),
    [("w18", 9.56), ("w32", 29.31), ("w40", 45.52), ("w48", 65.33)],
)
def test_number_of_parameters_is_the_published_one(width: str, num_millions: float) -> None:
    assert sum(p.numel() for p in on_meta(width).parameters()) / 1e6 == pytest.approx(num_millions, abs=5e-3)


@pytest.mark.parametrize("width", sorted(HRNET_CONFIGS))
def test_the_maps_have_the_channels_and_strides_that_are_announced(width: str) -> None:
    network = on_meta(width)

    features = network(torch.empty(2, 3, 96, 160, device="meta"))

    assert network.strides == (4, 8, 16, 32)
    assert [tuple(map_.shape) for map_ in features] == [
        (2, channels, 96 // stride, 160 // stride)
        for channels, stride in zip(network.out_channels, network.strides, strict=True)
    ]


def test_norms_of_parallel_branches_are_reached_together() -> None:
    network = HRNet(SMALL).eval()
    order: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_, name=name: order.append(name))

    network(torch.zeros(1, 3, 32, 32))

    stage2 = [name.removeprefix("stage2.0.") for name in order if name.startswith("stage2")]
    assert stage2 == [
        *("branches.0.0.bn1", "branches.1.0.bn1", "branches.0.0.bn2", "branches.1.0.bn2"),
        *("branches.0.1.bn1", "branches.1.1.bn1", "branches.0.1.bn2", "branches.1.1.bn2"),
        *("fuse_layers.0.1.1", "fuse_layers.1.0.0.1"),
    ]


def trained_once(network: HRNet) -> dict[str, Tensor]:
    pixels = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    features = network.train()(pixels)
    loss = torch.stack([map_.square().sum() for map_ in features]).sum()
    names, parameters = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters)
    return {
        **{f"map {index}": map_.detach() for index, map_ in enumerate(features)},
        **{f"gradient of {name}": gradient for name, gradient in zip(names, gradients, strict=True)},
        **network.state_dict(),
    }


def test_activation_checkpointing_changes_no_bit_of_maps_gradients_and_statistics() -> None:
    plain, checkpointed = HRNet(SMALL), HRNet(SMALL, activation_checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())

    expected, actual = trained_once(plain), trained_once(checkpointed)

    assert list(actual) == list(expected)
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []


def test_every_parameter_gets_a_gradient() -> None:
    results = trained_once(HRNet(SMALL))

    gradients = {name: tensor for name, tensor in results.items() if name.startswith("gradient of")}
    assert len(gradients) == len([*HRNet(SMALL).parameters()])
    assert [name for name, g in gradients.items() if not (g.isfinite().all() and g.any())] == []


def test_convolutions_start_from_kaimings_normal_distribution() -> None:
    torch.manual_seed(0)
    network: Any = HRNet(HRNET_CONFIGS["w18"])

    for conv in (network.stage4[0].branches[3][0].conv1, network.layer1[1].conv3):
        fan_out = conv.out_channels * math.prod(conv.kernel_size)
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.02)
        assert conv.weight.abs().max() > 3 * conv.weight.std()  # no uniform distribution reaches that far


@pytest.mark.parametrize(("height", "width"), [(64, 80), (33, 64)])
def test_pictures_that_are_not_padded_are_refused(height: int, width: int) -> None:
    with pytest.raises(
        ValueError, match=f"^HRNet needs sides that are multiples of 32, not {width}x{height}: pad"
    ):
        HRNet(SMALL)(torch.zeros(1, 3, height, width))
