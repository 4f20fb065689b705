"""HRNet against timm's, which was written apart from this one and loads the same public files."""

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.norm.convert import NormKind, convert_norm
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.recompute import Recomputation
from tests.kept_inputs import KeptInputs

SMALL = HRNET_CONFIGS["small"]


def build_oracle(width: str) -> nn.Module:
    import timm  # which takes seconds, in each process that collects tests

    oracle: nn.Module = timm.create_model(
        f"hrnet_{width}", pretrained=False, features_only=True, feature_location="", out_indices=(1, 2, 3, 4)
    )
    return oracle


@cache
def on_meta(width: str) -> HRNet:
    """The same for the same width: nobody changes it."""
    with torch.device("meta"):
        return HRNet(HRNET_CONFIGS[width])


def test_features_equal_those_of_timm_in_training_and_in_evaluation() -> None:
    torch.manual_seed(0)
    oracle, network = build_oracle("w18"), HRNet(HRNET_CONFIGS["w18"])
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


@pytest.mark.parametrize("width", ["w30", "w64"])
def test_the_further_widths_have_the_keys_and_shapes_of_timm(width: str) -> None:
    with torch.device("meta"):
        expected = {key: tensor.shape for key, tensor in build_oracle(width).state_dict().items()}

    assert {key: tensor.shape for key, tensor in on_meta(width).state_dict().items()} == expected


@pytest.mark.parametrize(
    ("width", "num_millions"),
    [("w18", 9.56), ("w32", 29.31), ("w40", 45.52), ("w48", 65.33)],
)
def test_number_of_parameters_is_the_published_one(width: str, num_millions: float) -> None:
    assert sum(p.numel() for p in on_meta(width).parameters()) / 1e6 == pytest.approx(num_millions, abs=5e-3)


@pytest.mark.parametrize("width", ["small", "w18", "w30"])
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


@pytest.mark.parametrize("recompute", ["norms", "modules"])
def test_activation_checkpointing_changes_no_bit_of_maps_gradients_and_statistics(
    recompute: Recomputation,
) -> None:
    plain, checkpointed = HRNet(SMALL), HRNet(SMALL, recompute=recompute)
    checkpointed.load_state_dict(plain.state_dict())

    expected, actual = trained_once(plain), trained_once(checkpointed)

    assert list(actual) == list(expected)
    assert [name for name in expected if not torch.equal(actual[name], expected[name])] == []


@pytest.mark.parametrize(("recompute", "share_kept"), [("off", 1), ("norms", 0)])
def test_what_is_rectified_inside_of_blocks_is_kept_or_not(
    recompute: Recomputation, share_kept: float
) -> None:
    network = HRNet(SMALL, recompute=recompute)
    inputs = KeptInputs(conv for name, conv in network.named_modules() if name.endswith(("conv2", "conv3")))
    features = network(torch.randn(2, 3, 64, 32))
    assert inputs.num_read > 0
    assert inputs.num_kept == share_kept * inputs.num_read
    del features


def test_under_autocast_every_map_behind_the_pixels_is_in_its_dtype() -> None:
    network = HRNet(HRNET_CONFIGS["small"])
    dtypes = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _, inputs: dtypes.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        features = network(torch.randn(1, 3, 64, 64))
    assert dtypes == [torch.float32] + [torch.bfloat16] * (len(dtypes) - 1)
    assert {map_.dtype for map_ in features} == {torch.bfloat16}


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


STEM = {"conv1", "bn1", "conv2", "bn2"}
FROZEN_PARTS = {
    0: set[str](),
    1: STEM | {"layer1"},
    2: STEM | {"layer1", "transition1", "stage2"},
    3: STEM | {"layer1", "transition1", "stage2", "transition2", "stage3"},
    4: STEM | {"layer1", "transition1", "stage2", "transition2", "stage3", "transition3", "stage4"},
}


def part_of(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize(("frozen_stages", "frozen_parts"), FROZEN_PARTS.items())
def test_a_frozen_stage_has_no_gradient_and_neither_has_what_leads_to_it(
    frozen_stages: int, frozen_parts: set[str]
) -> None:
    with torch.device("meta"):
        network = HRNet(SMALL, frozen_stages=frozen_stages)

    frozen = {part_of(name) for name, p in network.named_parameters() if not p.requires_grad}
    trained = {part_of(name) for name, p in network.named_parameters() if p.requires_grad}
    assert frozen == frozen_parts
    assert trained == FROZEN_PARTS[4] - frozen_parts


@pytest.mark.parametrize("kind", [None, "batch", "sync"])
def test_training_moves_the_statistics_of_exactly_the_parts_that_train(kind: NormKind | None) -> None:
    network = HRNet(SMALL, frozen_stages=2)
    if kind is not None:
        convert_norm(network, kind=kind)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}

    network.train()(torch.randn(2, 3, 64, 64))

    moved = {name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == {name for name in before if part_of(name) not in FROZEN_PARTS[2]}


def test_norms_of_frozen_stages_stay_fixed_where_the_others_become_group_norms() -> None:
    with torch.device("meta"):
        network = HRNet(SMALL, frozen_stages=1)

    convert_norm(network, kind="group")

    fixed = {name for name, module in network.named_modules() if isinstance(module, FixedBatchNorm2d)}
    assert {part_of(name) for name in fixed} == {"bn1", "bn2", "layer1"}
    assert not any(type(module) is nn.BatchNorm2d for module in network.modules())


def test_freezing_changes_neither_the_keys_nor_the_weights_that_are_drawn() -> None:
    torch.manual_seed(0)
    free = HRNet(SMALL).state_dict()
    torch.manual_seed(0)
    frozen = HRNet(SMALL, frozen_stages=3).state_dict()

    assert list(frozen) == list(free)
    assert all(torch.equal(frozen[key], tensor) for key, tensor in free.items())


@pytest.mark.parametrize("recompute", ["norms", "modules"])
def test_a_frozen_network_with_activation_checkpointing_trains_what_is_free_to_the_bit(
    recompute: Recomputation,
) -> None:
    pixels = torch.randn(2, 3, 64, 64)
    gradients: list[dict[str, Tensor]] = []
    ways: tuple[Recomputation, ...] = ("off", recompute)
    for way in ways:
        torch.manual_seed(0)
        network = HRNet(SMALL, frozen_stages=2, recompute=way).train()
        torch.autograd.backward(torch.stack([map_.square().sum() for map_ in network(pixels)]).sum())
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})

    plain, checkpointed = gradients
    names = [name for name, _ in HRNet(SMALL).named_parameters()]
    assert list(plain) == [name for name in names if part_of(name) not in FROZEN_PARTS[2]]
    assert all(gradient.any() for gradient in plain.values())
    assert list(checkpointed) == list(plain)
    assert all(torch.equal(checkpointed[name], gradient) for name, gradient in plain.items())


@pytest.mark.parametrize("frozen_stages", [-1, 5])
def test_more_stages_than_there_are_cannot_be_frozen(frozen_stages: int) -> None:
    with pytest.raises(ValueError, match=rf"^frozen_stages must be in 0..4, not {frozen_stages}$"):
        HRNet(SMALL, frozen_stages=frozen_stages)
