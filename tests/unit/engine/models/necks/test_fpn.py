import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool

from hrdet_cli.engine.models.necks.fpn import FPN
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

CHANNELS = (4, 8, 16, 32)


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


def test_every_parameter_gets_a_gradient() -> None:
    neck = FPN(in_channels=CHANNELS, out_channels=6)

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


PICTURES = [Size(64, 64), Size(32, 96), Size(96, 160)]


@pytest.mark.parametrize("canvas", [Size(96, 160), Size(128, 192), Size(256, 320)])
def test_with_an_area_a_picture_s_pyramid_is_that_of_the_picture_alone(canvas: Size) -> None:
    torch.manual_seed(0)
    neck = FPN(in_channels=CHANNELS, out_channels=6).double()
    for name, parameter in neck.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    maps = [
        torch.zeros(3, count, canvas.height // stride, canvas.width // stride).double()
        for count, stride in zip(CHANNELS, neck.strides, strict=False)
    ]
    alone = []
    for index, size in enumerate(PICTURES):
        own = [
            torch.randn(1, x.shape[1], size.height // s, size.width // s).double()
            for x, s in zip(maps, neck.strides, strict=False)
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
