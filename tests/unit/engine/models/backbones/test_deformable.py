import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.backbones.bottleneck import Bottleneck
from hrdet_cli.engine.models.backbones.deformable import DeformableConv, DeformableVersion
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size


def build(
    version: DeformableVersion, *, stride: int = 1, groups: int = 1, num_groups: int = 1
) -> DeformableConv:
    """With weights that move and weigh."""
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, 3, stride, padding=1, groups=groups, bias=False)
    conv = DeformableConv(plain, version=version, num_groups=num_groups).double()
    for parameter in conv.conv_offset.parameters():
        nn.init.normal_(parameter, std=0.5)
    return conv


def a_map(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def value_at(channel: Tensor, y: float, x: float) -> float:
    """Bilinear between pixels, which lie at whole numbers; zero beyond."""
    total = 0.0
    for row, column in product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < channel.shape[0] and 0 <= column < channel.shape[1]:
            share = (1 - abs(y - row)) * (1 - abs(x - column))
            total += share * channel[row, column].item()
    return total


def rewritten(conv: DeformableConv, x: Tensor, *, stride: int, groups: int, num_groups: int) -> Tensor:
    """One picture, pixel by pixel, tap by tap: equations 2 of v1 and 1 of v2."""
    moves = F.conv2d(x, conv.conv_offset.weight, conv.conv_offset.bias, stride=stride, padding=1)[0]
    taps = [*product(range(3), range(3))]
    has_weights = moves.shape[0] == 27 * num_groups
    output = torch.zeros(4, *moves.shape[1:], dtype=torch.float64)
    per_group, per_move_group = 4 // groups, 4 // num_groups
    for target, row, column in product(range(4), range(output.shape[1]), range(output.shape[2])):
        first = target // per_group * per_group
        for source, (tap, (i, j)) in product(range(first, first + per_group), enumerate(taps)):
            which = source // per_move_group * 9 + tap
            down, right = moves[2 * which : 2 * which + 2, row, column].tolist()
            weight = conv.weight[target, source - first, i, j].item()
            if has_weights:
                weight *= moves[18 * num_groups + which, row, column].sigmoid().item()
            y, x_ = row * stride + i - 1 + down, column * stride + j - 1 + right
            output[target, row, column] += weight * value_at(x[0, source], y, x_)
    return output[None]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("stride", "groups", "num_groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2)])
def test_it_equals_a_rewrite_pixel_by_pixel(
    version: DeformableVersion, stride: int, groups: int, num_groups: int
) -> None:
    conv = build(version, stride=stride, groups=groups, num_groups=num_groups)
    x = a_map(1, 4, 5, 6)

    expected = rewritten(conv, x, stride=stride, groups=groups, num_groups=num_groups)

    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("version", "share"), [("v1", 1.0), ("v2", 0.5)])
@pytest.mark.parametrize("stride", [1, 2])
def test_at_first_it_is_the_convolution_that_it_replaces(
    version: DeformableVersion, share: float, stride: int
) -> None:
    plain = nn.Conv2d(4, 6, 3, stride, padding=1, bias=False)
    conv = DeformableConv(plain, version=version)
    x = a_map(2, 4, 8, 9).float()

    torch.testing.assert_close(conv(x), share * plain(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("version", "num_channels"), [("v1", 18), ("v2", 27)])
def test_names_and_shapes_are_mmdetections(version: DeformableVersion, num_channels: int) -> None:
    shapes = {name: tuple(value.shape) for name, value in build(version).state_dict().items()}
    assert shapes == {
        "weight": (4, 4, 3, 3),
        "conv_offset.weight": (num_channels, 4, 3, 3),
        "conv_offset.bias": (num_channels,),
    }


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_gradients_are_those_of_finite_differences(version: DeformableVersion) -> None:
    conv = build(version)
    names = [name for name, _ in conv.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(conv, dict(zip(names, parameters, strict=True)), (x,))
        return output

    inputs = (a_map(1, 4, 3, 4), *(parameter.detach() for parameter in conv.parameters()))
    assert torch.autograd.gradcheck(run, [value.requires_grad_() for value in inputs], fast_mode=True)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_under_autocast_it_computes_in_float32_and_puts_out_what_it_got(version: DeformableVersion) -> None:
    conv = build(version).float()
    x = a_map(1, 4, 8, 8).bfloat16()

    with torch.autocast("cpu", torch.bfloat16):
        y = conv(x)

    assert y.dtype == torch.bfloat16
    assert torch.equal(y, conv(x.float()).bfloat16())


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_with_an_area_a_block_makes_the_same_of_a_picture_on_every_canvas(version: DeformableVersion) -> None:
    torch.manual_seed(0)
    block = Bottleneck(16, 4, 16)
    block.conv2 = build(version).float()
    block = block.double()
    alone = a_map(1, 16, 4, 8)
    wide = F.pad(alone, (0, 12, 0, 8))
    sizes = torch.tensor([[32, 64]])

    narrow, padded = (
        block(x, ValidArea.on_canvas(canvas, sizes))
        for x, canvas in ((alone, Size(32, 64)), (wide, Size(96, 160)))
    )

    torch.testing.assert_close(padded, F.pad(narrow, (0, 12, 0, 8)), rtol=0, atol=1e-12)


def test_channels_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^4 channels cannot be shared out among 3 sets of moves$"):
        build("v1", num_groups=3)
