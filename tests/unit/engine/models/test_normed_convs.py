import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.normed_convs import ConvTower, NormChoice, NormedConv, build_norm
from hrdet_cli.engine.norm import in_step
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise_together
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size


def a_map(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_without_a_norm_it_is_a_plain_convolution_by_name_and_to_the_bit() -> None:
    torch.manual_seed(0)
    conv = NormedConv(3, 4)
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3, padding=1)
    x = a_map(2, 3, 6, 8).float()

    assert list(conv.state_dict()) == ["weight", "bias"]
    assert torch.equal(conv(x), plain(x))


@pytest.mark.parametrize(("norm", "oracle"), [("batch", nn.BatchNorm2d(64)), ("group", nn.GroupNorm(32, 64))])
def test_a_norm_takes_the_place_of_the_bias(norm: NormChoice, oracle: nn.Module) -> None:
    conv = NormedConv(3, 64, stride=2, norm=norm).double()
    x = a_map(2, 3, 6, 9)

    names = list(conv.state_dict())
    expected = oracle.double()(F.conv2d(x, conv.weight, stride=2, padding=1))

    assert names == ["weight", *(f"norm.{name}" for name in oracle.state_dict())]
    torch.testing.assert_close(conv(x), expected)


def test_groups_are_32_or_what_divides_the_channels() -> None:
    norms = [build_norm("group", channels) for channels in (256, 48, 7)]
    assert [(norm.num_groups, norm.num_channels) for norm in norms if isinstance(norm, nn.GroupNorm)] == [
        (32, 256),
        (16, 48),
        (1, 7),
    ]


def test_batch_norms_are_converted_with_the_model_s_and_group_norms_are_left_alone() -> None:
    model = nn.Sequential(NormedConv(3, 4, norm="batch"), NormedConv(4, 4, norm="group"))
    convert_norm(model, kind="sync")
    assert [type(norm) for norm in (model[0].norm, model[1].norm)] == [SyncBatchNorm2d, nn.GroupNorm]


@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_a_tower_runs_on_each_map_as_on_a_single_one(norm: NormChoice | None) -> None:
    tower, twin = (ConvTower(3, channels=4, num_convs=2, norm=norm).double() for _ in range(2))
    twin.load_state_dict(tower.state_dict())
    maps = [a_map(2, 3, 6, 9, seed=1), a_map(2, 3, 3, 5, seed=2)]

    found = tower(maps)

    for x, y in zip(maps, found, strict=True):
        for conv in twin:
            x = F.relu(conv(x))
        torch.testing.assert_close(y, x)
    torch.testing.assert_close(tower.state_dict(), twin.state_dict())


def test_the_norms_of_all_maps_are_reached_together(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def count(requests: list[tuple[nn.Module, Tensor]], area: None) -> list[Tensor]:
        lengths.append(len(requests))
        return normalise_together(requests, area)

    monkeypatch.setattr(in_step, "normalise_together", count)
    tower = ConvTower(3, channels=4, num_convs=2, norm="batch").double()
    tower([a_map(1, 3, size, size) for size in (6, 3, 2)])
    assert lengths == [3, 3, 0]


@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_with_an_area_the_padding_stays_zero_and_does_not_matter(norm: NormChoice | None) -> None:
    tower = ConvTower(3, channels=32, num_convs=3, norm=norm).double()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    size = Size(32, 64)
    alone = a_map(1, 3, 4, 8)
    wide = F.pad(alone, (0, 12, 0, 8))
    areas = [ValidArea.on_canvas(canvas, torch.tensor([[32, 64]])) for canvas in (size, Size(96, 160))]

    (narrow_output,), (wide_output,) = tower([alone], areas[0]), tower([wide], areas[1])

    torch.testing.assert_close(wide_output, F.pad(narrow_output, (0, 12, 0, 8)), rtol=0, atol=1e-12)


def test_a_tower_of_no_convolutions_leaves_its_input() -> None:
    tower = ConvTower(3, channels=8, num_convs=0)
    x = a_map(1, 3, 2, 2)
    assert tower([x])[0] is x
    assert tower.out_channels == 3


def test_its_names_are_numbered() -> None:
    tower = ConvTower(3, channels=32, num_convs=2, norm="group")
    assert list(tower.state_dict()) == [
        f"{index}.{name}" for index in range(2) for name in ("weight", "norm.weight", "norm.bias")
    ]
