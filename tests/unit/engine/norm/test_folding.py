"""What networks put out with their norms folded into convolutions, beside what they put out with norms."""

from itertools import chain

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.backbones.hrnet import HRNet, HRNetConfig
from hrdet_cli.engine.models.backbones.resnet import DeformableStages, ResNet
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.normed_convs import NormedConv
from hrdet_cli.engine.norm.convert import NormKind, convert_norm
from hrdet_cli.engine.norm.folding import fold_norms
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

TINY = HRNetConfig(
    width=4, stem_channels=8, bottleneck_channels=4, num_bottlenecks=2, num_modules=(1, 1, 1), num_blocks=1
)


def with_statistics(network: nn.Module) -> nn.Module:
    """In evaluation mode and float64, with norms that change what comes in."""
    generator = torch.Generator().manual_seed(0)
    network.double().eval()
    for norm in norms_of(network):
        for tensor in chain(
            norm.parameters(), (norm.get_buffer("running_mean"), norm.get_buffer("running_var"))
        ):
            tensor.data.uniform_(0.5, 1.5, generator=generator)
    return network


def norms_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def pixels_and_area() -> tuple[Tensor, ValidArea]:
    pixels = torch.rand(2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    sizes = torch.tensor([[64, 96], [32, 64]])
    pixels[1, :, 32:] = 0
    pixels[1, :, :, 64:] = 0
    return pixels, ValidArea.on_canvas(Size(64, 96), sizes)


def assert_same(folded: tuple[Tensor, ...], plain: tuple[Tensor, ...]) -> None:
    assert len(folded) == len(plain) > 0
    for one, other in zip(folded, plain, strict=True):
        assert other.abs().max() > 0.1
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12 * float(other.abs().max()))


@pytest.mark.parametrize("kind", ["batch", "sync", "frozen"])
@pytest.mark.parametrize("hides_padding", [False, True])
def test_hrnet_has_no_norm_left_and_puts_out_the_same(kind: NormKind, hides_padding: bool) -> None:
    network = HRNet(TINY)
    convert_norm(network, kind=kind)
    with_statistics(network)
    pixels, area = pixels_and_area()
    seen = area if hides_padding else None
    folded = fold_norms(network)

    assert norms_of(network)
    assert not norms_of(folded)
    with torch.no_grad():
        assert_same(folded(pixels, seen), network(pixels, seen))


def test_resnet_keeps_the_norms_behind_deformable_convolutions_alone() -> None:
    network = ResNet(
        depth=50,
        frozen_stages=1,
        group_width=4,
        cardinality=2,
        deformable=DeformableStages(version="v2", levels=(5,)),
    )
    with_statistics(network)
    pixels, _ = pixels_and_area()
    folded = fold_norms(network)

    assert len(norms_of(folded)) == 3  # one of each block of the last stage
    with torch.no_grad():
        assert_same(folded(pixels), network(pixels))


def test_a_neck_with_norms_puts_out_the_same() -> None:
    neck = HRFPN(in_channels=(4, 8, 16, 32), out_channels=8, norm="batch")
    with_statistics(neck)
    generator = torch.Generator().manual_seed(2)
    maps = [
        torch.rand(1, 4 * 2**level, 64 >> level, 64 >> level, dtype=torch.float64, generator=generator)
        for level in range(4)
    ]
    folded = fold_norms(neck)

    assert not norms_of(folded)
    with torch.no_grad():
        assert_same(folded(maps).levels, neck(maps).levels)


def test_a_bias_in_front_of_a_norm_and_a_norm_without_scale_and_shift_are_counted_in() -> None:
    conv = NormedConv(2, 3, norm="batch", has_bias=True)
    conv.norm = nn.BatchNorm2d(3, affine=False)
    conv.norm.running_mean = torch.tensor([1.0, 0.0, -2.0])
    conv.norm.running_var = torch.tensor([4.0, 1.0, 0.25])
    conv.double().eval()
    x = torch.rand(1, 2, 5, 5, dtype=torch.float64)

    with torch.no_grad():
        assert_same((fold_norms(conv)(x),), (conv(x),))


def test_other_norms_stay() -> None:
    network = nn.Sequential(
        nn.Conv2d(2, 4, 1),
        nn.GroupNorm(2, 4),
        nn.Conv2d(4, 4, 1),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Conv2d(4, 4, 1),
        nn.ReLU(),
        nn.BatchNorm2d(4),
    )
    assert [type(module) for module in fold_norms(network)] == [type(module) for module in network]


def test_the_network_stays_as_it_is_and_shares_what_is_not_folded() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded = fold_norms(network)
    with torch.no_grad():
        next(folded[0].parameters()).zero_()

    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert isinstance(network[1], nn.BatchNorm2d)
    assert next(folded[2].parameters()) is next(network[2].parameters())
