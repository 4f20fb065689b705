import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hrdet_cli.engine.benchmarking.workload import NETWORK_NAMES, Workload, convolutions_by_depth
from hrdet_cli.engine.geometry import Size

MIXED = Workload("hrnet-small", (Size(64, 96), Size(128, 64)))


def test_the_parts_of_the_loss_add_up_to_the_mean_over_the_pixels_of_all_processes() -> None:
    strides = (4, 8)
    features = [
        [torch.randn(1, channels, size.height // stride, size.width // stride) for size in MIXED.sizes]
        for channels, stride in zip((3, 5), strides, strict=True)
    ]
    parts = [MIXED.loss([level[rank] for level in features], strides) for rank in range(2)]

    whole = 0.0
    for level, maps in enumerate(features):
        pixels = torch.cat([x[0].flatten(1) for x in maps], dim=1)
        generator = torch.Generator().manual_seed(level)
        projection = torch.randn(len(pixels), generator=generator, dtype=torch.float64).float()
        whole += F.softplus(projection @ pixels / len(pixels) ** 0.5).mean().item()
    assert torch.stack(parts).sum().item() == pytest.approx(whole, rel=1e-5)


def test_pictures_have_their_size_and_differ_between_processes() -> None:
    first, second = MIXED.make_picture(0), MIXED.make_picture(1)
    assert first.shape == (1, 3, 64, 96)
    assert second.shape == (1, 3, 128, 64)
    assert torch.equal(first, MIXED.make_picture(0))
    assert abs(first.mean() - second.mean()) > 0.05  # as pictures do, and plain noise would not
    assert abs(first.std() / second.std() - 1) > 0.05


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_every_network_has_plain_norms_and_all_of_it_trains(name: str) -> None:
    with torch.device("meta"):
        network = Workload(name, ()).build_network()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {type(norm) for norm in norms} == {nn.BatchNorm2d}
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert len(norms) == {"hrnet-small": 71, "resnet-50": 53}.get(name, 305)


def test_a_network_has_the_same_weights_each_time_and_leaves_the_generator_alone() -> None:
    before = torch.get_rng_state()
    weights = [MIXED.build_network().state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
    assert torch.equal(torch.get_rng_state(), before)


def test_convolutions_come_in_the_order_in_which_they_run() -> None:
    names = convolutions_by_depth(MIXED)
    assert len(names) == len(set(names)) == 71
    assert names[:3] == ["conv1", "conv2", "layer1.0.conv1"]
    stage2 = [name for name in names if name.startswith("stage2")]
    assert stage2[:4] == [  # branches take turns
        "stage2.0.branches.0.0.conv1",
        "stage2.0.branches.1.0.conv1",
        "stage2.0.branches.0.0.conv2",
        "stage2.0.branches.1.0.conv2",
    ]
    assert names[-1].startswith("stage4.0.fuse_layers")
