from functools import partial
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool, LastLevelP6P7

from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.normed_convs import NormChoice
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

CHANNELS = (4, 8, 16, 32)
STRIDES = (4, 8, 16, 32)


def random_features() -> list[Tensor]:
    """C2 to C5 of a picture of 96x160 pixels, in a batch of two."""
    return [torch.randn(2, count, 24 // 2**i, 40 // 2**i) for i, count in enumerate(CHANNELS)]


def test_the_pyramid_equals_a_short_rewrite() -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=6)
    features = random_features()
    convs = [conv for conv in neck.modules() if isinstance(conv, torch.nn.Conv2d)]
    lateral, smooth = convs[:4], convs[4:]

    merged = [conv(x) for conv, x in zip(lateral, features, strict=True)]
    for level in (2, 1, 0):
        coarser = merged[level + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        merged[level] = merged[level] + coarser
    expected = [
        F.conv2d(x, conv.weight, conv.bias, padding=1) for conv, x in zip(smooth, merged, strict=True)
    ]
    expected.append(expected[-1][:, :, ::2, ::2])

    for ours, theirs in zip(neck(features).levels, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_levels_have_the_strides_and_channels_that_are_announced() -> None:
    neck = FPN(in_channels=CHANNELS, out_channels=6)

    pyramid = neck(random_features())

    assert pyramid.strides == neck.strides == (4, 8, 16, 32, 64)
    assert [tuple(level.shape) for level in pyramid.levels] == [
        (2, neck.out_channels, -(-96 // stride), -(-160 // stride)) for stride in neck.strides
    ]


@pytest.mark.parametrize("coarse_convs", [None, CoarseConvs()])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_every_parameter_gets_a_gradient(norm: NormChoice | None, coarse_convs: CoarseConvs | None) -> None:
    neck = FPN(in_channels=CHANNELS, out_channels=6, norm=norm, coarse_convs=coarse_convs)

    loss = torch.stack([level.square().sum() for level in neck(random_features()).levels]).sum()

    assert all(gradient.any() for gradient in torch.autograd.grad(loss, [*neck.parameters()]))


def test_it_is_torchvisions_to_the_bit_and_has_its_names() -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=6)
    theirs = FeaturePyramidNetwork([*CHANNELS], 6, extra_blocks=LastLevelMaxPool())
    theirs.load_state_dict({name.removeprefix("pyramid."): x for name, x in neck.state_dict().items()})
    features = random_features()

    expected = theirs({str(index): x for index, x in enumerate(features)})

    assert all(torch.equal(a, b) for a, b in zip(neck(features).levels, expected.values(), strict=True))


COARSE_CONVS = [
    CoarseConvs(source=source, with_relu=with_relu)
    for source in ("backbone", "neck")
    for with_relu in (False, True)
]


def as_torchvision(neck: FPN, *, in_channels: int) -> FeaturePyramidNetwork:
    """Torchvision's module on C3 to C5, with the neck's weights."""
    theirs = FeaturePyramidNetwork(
        [*CHANNELS[1:]], neck.out_channels, extra_blocks=LastLevelP6P7(in_channels, neck.out_channels)
    )
    theirs.load_state_dict({name.removeprefix("pyramid."): x for name, x in neck.state_dict().items()})
    return theirs


@pytest.mark.parametrize(("source", "in_channels"), [("backbone", 32), ("neck", 6)])
def test_with_a_relu_p6_and_p7_are_torchvisions_to_the_bit_and_have_its_names(
    source: Literal["backbone", "neck"], in_channels: int
) -> None:
    torch.manual_seed(0)
    coarse_convs = CoarseConvs(source=source, with_relu=True)
    neck = FPN(in_channels=CHANNELS, out_channels=6, coarse_convs=coarse_convs)
    features = random_features()

    expected = as_torchvision(neck, in_channels=in_channels)({str(i): x for i, x in enumerate(features[1:])})

    assert all(torch.equal(a, b) for a, b in zip(neck(features).levels, expected.values(), strict=True))


@pytest.mark.parametrize("coarse_convs", COARSE_CONVS)
def test_p6_and_p7_equal_a_short_rewrite(coarse_convs: CoarseConvs) -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=6, coarse_convs=coarse_convs)
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    state, features = neck.state_dict(), random_features()

    def conv(x: Tensor, name: str) -> Tensor:
        weight, bias = (state[f"pyramid.extra_blocks.{name}.{part}"] for part in ("weight", "bias"))
        return F.conv2d(x, weight, bias, stride=2, padding=1)

    pyramid = neck(features)
    p6 = conv(features[3] if coarse_convs.source == "backbone" else pyramid.levels[2], "p6")
    p7 = conv(p6.clamp(min=0) if coarse_convs.with_relu else p6, "p7")

    assert pyramid.strides == neck.strides == (8, 16, 32, 64, 128)
    torch.testing.assert_close(pyramid.levels[3:], (p6, p7))


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("coarse_convs", [None, COARSE_CONVS[0]])
def test_a_norm_follows_every_convolution_as_in_torchvision(
    norm: NormChoice, coarse_convs: CoarseConvs | None
) -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=64, norm=norm, coarse_convs=coarse_convs)
    layer = {"batch": torch.nn.BatchNorm2d, "group": partial(torch.nn.GroupNorm, 32)}[norm]
    inputs = CHANNELS if coarse_convs is None else CHANNELS[1:]
    theirs = FeaturePyramidNetwork([*inputs], 64, norm_layer=layer)
    fine = {name: x for name, x in neck.state_dict().items() if "extra_blocks" not in name}
    theirs.load_state_dict({name.removeprefix("pyramid."): x for name, x in fine.items()})
    features = random_features()

    expected = theirs({str(index): x for index, x in enumerate(features[-len(inputs) :])})

    levels = neck(features).levels
    for ours, expected_level in zip(levels, expected.values(), strict=False):
        torch.testing.assert_close(ours, expected_level)
    assert not any(
        name.endswith("bias") and "extra" in name and "norm" not in name for name in neck.state_dict()
    )
    if coarse_convs is not None:  # a norm in training mode leaves channels, or groups of two, with mean zero
        for level in levels[3:]:
            groups = level.transpose(0, 1) if norm == "batch" else level.unflatten(1, (32, 2)).flatten(0, 1)
            torch.testing.assert_close(groups.flatten(1).mean(1), torch.zeros(len(groups)), rtol=0, atol=1e-5)


PICTURES = [Size(64, 64), Size(32, 96), Size(96, 160)]


@pytest.mark.parametrize("canvas", [Size(96, 160), Size(128, 192), Size(256, 320)])
@pytest.mark.parametrize(
    ("norm", "coarse_convs"),
    [(None, None), (None, COARSE_CONVS[1]), ("group", None), ("group", COARSE_CONVS[2])],
)
def test_with_an_area_a_picture_s_pyramid_is_that_of_the_picture_alone(
    canvas: Size, norm: NormChoice | None, coarse_convs: CoarseConvs | None
) -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=64, norm=norm, coarse_convs=coarse_convs).double()
    for name, parameter in neck.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    maps = [
        torch.zeros(3, count, canvas.height // stride, canvas.width // stride).double()
        for count, stride in zip(CHANNELS, STRIDES, strict=True)
    ]
    alone = []
    for index, size in enumerate(PICTURES):
        own = [
            torch.randn(1, x.shape[1], size.height // s, size.width // s).double()
            for x, s in zip(maps, STRIDES, strict=True)
        ]
        for whole, part in zip(maps, own, strict=True):
            whole[index, :, : part.shape[2], : part.shape[3]] = part[0]
        alone.append(own)
    sizes = torch.tensor([[size.height, size.width] for size in PICTURES])

    area = ValidArea.on_canvas(canvas, sizes)
    pyramid = neck(maps, area)

    assert pyramid.area is area
    for index, own in enumerate(alone):
        for level, exact in zip(pyramid.levels, neck(own).levels, strict=True):
            expected = torch.zeros_like(level[index])
            expected[:, : exact.shape[2], : exact.shape[3]] = exact[0]
            torch.testing.assert_close(level[index], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hides_padding", [True, False])
def test_under_autocast_what_levels_are_made_of_stays_in_its_dtype(hides_padding: bool) -> None:
    neck = FPN(in_channels=(3, 6, 12, 24), out_channels=8)
    dtypes = []
    for conv in neck.modules():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_pre_hook(lambda _, inputs: dtypes.append(inputs[0].dtype))
    area = ValidArea.on_canvas(Size(64, 64), torch.tensor([[64, 64], [32, 64]])) if hides_padding else None
    features = [torch.randn(2, c, 16 // 2**i, 16 // 2**i).bfloat16() for i, c in enumerate((3, 6, 12, 24))]
    with torch.autocast("cpu", torch.bfloat16):
        neck(features, area)
    assert dtypes == [torch.bfloat16] * 8
