import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.fpn import FPN

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

    for ours, theirs in zip(neck(features), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_levels_have_the_strides_and_channels_that_are_announced() -> None:
    neck = FPN(in_channels=CHANNELS, out_channels=6)

    levels = neck(random_features())

    assert neck.strides == (4, 8, 16, 32, 64)
    assert [tuple(level.shape) for level in levels] == [
        (2, neck.out_channels, -(-96 // stride), -(-160 // stride)) for stride in neck.strides
    ]


def test_every_parameter_gets_a_gradient() -> None:
    neck = FPN(in_channels=CHANNELS, out_channels=6)

    loss = torch.stack([level.square().sum() for level in neck(random_features())]).sum()

    assert all(gradient.any() for gradient in torch.autograd.grad(loss, [*neck.parameters()]))
