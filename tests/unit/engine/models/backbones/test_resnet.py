from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from hrdet_cli.engine.models.backbones.deformable import DeformableConv, DeformableVersion
from hrdet_cli.engine.models.backbones.resnet import DeformableStages, ResNet
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.recompute import Recomputation

STAGES = ["layer1", "layer2", "layer3", "layer4"]


def build_oracle(depth: int) -> Any:
    return {50: torchvision.models.resnet50, 101: torchvision.models.resnet101}[depth]()


@pytest.mark.parametrize("depth", [50, 101])
def test_keys_are_those_of_torchvision_without_the_classifier(depth: int) -> None:
    with torch.device("meta"):
        network, oracle = ResNet(depth=depth, frozen_stages=1), build_oracle(depth)

    assert list(network.state_dict()) == [key for key in oracle.state_dict() if not key.startswith("fc.")]


@pytest.mark.parametrize("cardinality", [32, 64])
def test_a_resnext_101_has_the_tensors_of_its_definition(cardinality: int) -> None:
    with torch.device("meta"):
        network = ResNet(depth=101, frozen_stages=1, cardinality=cardinality, group_width=4)
        oracle: Any = torchvision.models.ResNet(
            torchvision.models.resnet.Bottleneck, [3, 4, 23, 3], groups=cardinality, width_per_group=4
        )

    shapes = {name: value.shape for name, value in network.state_dict().items()}
    assert shapes == {k: v.shape for k, v in oracle.state_dict().items() if not k.startswith("fc.")}
    # Table 1 of the paper: the last stage's 3x3 convolutions have 1024 channels in 32 groups of 32.
    assert shapes["layer4.2.conv2.weight"] == (cardinality * 32, 32, 3, 3)


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (torchvision.models.resnet50, {}),
        (torchvision.models.resnext50_32x4d, {"cardinality": 32, "group_width": 4}),
    ],
)
def test_features_equal_those_of_torchvision(build: Callable[[], Any], settings: dict[str, int]) -> None:
    torch.manual_seed(0)
    oracle, network = build(), ResNet(depth=50, frozen_stages=0, **settings)  # type: ignore[arg-type]
    network.load_state_dict({k: v for k, v in oracle.state_dict().items() if not k.startswith("fc.")})
    pixels = torch.randn(1, 3, 64, 96)

    ours = network(pixels)
    theirs = create_feature_extractor(oracle, return_nodes=STAGES)(pixels)

    assert network.out_channels == tuple(map_.shape[1] for map_ in theirs.values())
    assert network.strides == tuple(64 // map_.shape[2] for map_ in theirs.values())
    for our_map, their_map in zip(ours, theirs.values(), strict=True):
        torch.testing.assert_close(our_map, their_map)


def test_the_caffe_style_is_torchvisions_network_with_the_strides_in_the_first_convolutions() -> None:
    torch.manual_seed(0)
    oracle, network = build_oracle(50), ResNet(depth=50, frozen_stages=0, style="caffe")
    network.load_state_dict({k: v for k, v in oracle.state_dict().items() if not k.startswith("fc.")})
    for stage in (oracle.layer2, oracle.layer3, oracle.layer4):
        assert stage[0].conv2.stride == (2, 2)
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    pixels = torch.randn(1, 3, 64, 96)

    ours = network(pixels)
    theirs = create_feature_extractor(oracle, return_nodes=STAGES)(pixels)

    for our_map, their_map in zip(ours, theirs.values(), strict=True):
        torch.testing.assert_close(our_map, their_map)
    with_other_strides = ResNet(depth=50, frozen_stages=0)
    with_other_strides.load_state_dict(network.state_dict())
    assert not torch.allclose(with_other_strides(pixels)[1], ours[1], rtol=0.1)


@pytest.mark.parametrize(
    ("frozen_stages", "frozen_parts"),
    [
        (0, set[str]()),
        (1, {"conv1", "bn1", "layer1"}),
        (2, {"conv1", "bn1", "layer1", "layer2"}),
        (4, {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}),
    ],
)
def test_frozen_stages_have_no_gradient(frozen_stages: int, frozen_parts: set[str]) -> None:
    with torch.device("meta"):
        network = ResNet(depth=50, frozen_stages=frozen_stages)

    trains_by_part: dict[str, set[bool]] = {}
    for name, parameter in network.named_parameters():
        trains_by_part.setdefault(name.partition(".")[0], set()).add(parameter.requires_grad)
    assert {part for part, trains in trains_by_part.items() if trains == {False}} == frozen_parts
    assert all(len(trains) == 1 for trains in trains_by_part.values())


@pytest.mark.parametrize("is_converted", [False, True])
def test_training_moves_the_statistics_of_exactly_the_parts_that_train(is_converted: bool) -> None:
    network = ResNet(depth=50, frozen_stages=1)
    if is_converted:
        convert_norm(network, kind="sync")
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}

    network.train()(torch.randn(1, 3, 64, 64))

    moved = {name for name, buffer in network.named_buffers() if not torch.equal(buffer, before[name])}
    assert moved == {name for name in before if name.startswith(("layer2", "layer3", "layer4"))}


def deformed(version: DeformableVersion, **settings: Any) -> ResNet:
    """Whose taps move."""
    torch.manual_seed(0)
    stages = DeformableStages(version=version, levels=(4, 5))
    network = ResNet(depth=50, frozen_stages=1, deformable=stages, **settings)
    for module in network.modules():
        if isinstance(module, DeformableConv):
            nn.init.normal_(module.conv_offset.weight, std=0.01)
    return network


def test_deformable_stages_are_those_that_are_named_with_their_strides() -> None:
    with torch.device("meta"):
        pytorch, caffe = deformed("v2"), deformed("v2", style="caffe")

    found = {name for name, module in pytorch.named_modules() if isinstance(module, DeformableConv)}
    blocks = [*(f"layer3.{index}" for index in range(6)), *(f"layer4.{index}" for index in range(3))]
    assert found == {f"{block}.conv2" for block in blocks}
    strides = [network.get_submodule("layer3.0.conv2").stride for network in (pytorch, caffe)]
    assert strides == [(2, 2), (1, 1)]


@pytest.mark.parametrize(("version", "recompute"), [("v1", "norms"), ("v2", "modules")])
def test_deformable_stages_train_and_can_be_recomputed(
    version: DeformableVersion, recompute: Recomputation
) -> None:
    expected, actual = (trained_once(deformed(version, recompute=way)) for way in ("off", recompute))

    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    assert all(tensor.any() for tensor in expected[4 : -len(deformed(version).state_dict())])


def test_a_frozen_stage_s_moves_do_not_train() -> None:
    with torch.device("meta"):
        network = ResNet(depth=50, frozen_stages=3, deformable=DeformableStages(version="v1", levels=(4, 5)))

    trains = {n: p.requires_grad for n, p in network.named_parameters() if "conv_offset" in n}
    assert len(trains) == 18
    assert all(is_trained == name.startswith("layer4.") for name, is_trained in trains.items())


def trained_once(network: ResNet) -> list[Tensor]:
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    features = network.train()(pixels)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    loss = torch.stack([map_.square().sum() for map_ in features[1:]]).sum()
    return [*features, *torch.autograd.grad(loss, parameters), *network.state_dict().values()]


def test_activation_checkpointing_changes_no_bit_and_every_free_parameter_trains() -> None:
    plain = ResNet(depth=50, frozen_stages=1)
    checkpointed = ResNet(depth=50, frozen_stages=1, recompute="norms")
    checkpointed.load_state_dict(plain.state_dict())

    expected, actual = trained_once(plain), trained_once(checkpointed)

    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))
    assert all(tensor.any() for tensor in expected[4 : -len(plain.state_dict())])


def test_another_depth_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^there is no ResNet-34 here; depths are 50, 101$"):
        ResNet(depth=34, frozen_stages=0)


@pytest.mark.parametrize("frozen_stages", [-1, 5])
def test_more_stages_than_there_are_cannot_be_frozen(frozen_stages: int) -> None:
    with pytest.raises(ValueError, match=rf"^frozen_stages must be in 0..4, not {frozen_stages}$"):
        ResNet(depth=50, frozen_stages=frozen_stages)


def test_norms_stay_plain_where_nothing_is_frozen() -> None:
    with torch.device("meta"):
        network = ResNet(depth=50, frozen_stages=0)

    assert {type(m) for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {nn.BatchNorm2d}
