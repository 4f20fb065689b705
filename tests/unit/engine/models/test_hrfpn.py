import math

import torch
from torch import Tensor

from hrdet_cli.engine.models.hrfpn import HRFPN


def random_features(channels: tuple[int, ...], height: int, width: int) -> list[Tensor]:
    return [torch.randn(2, count, height // 2**i, width // 2**i) for i, count in enumerate(channels)]


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Bilinear by hand: output pixel centres at (o + 0.5) / factor - 0.5, edges repeated."""
    for dim in (2, 3):
        size = x.shape[dim]
        position = ((torch.arange(size * factor) + 0.5) / factor - 0.5).clamp(0, size - 1)
        low = position.floor().long()
        high = (low + 1).clamp(max=size - 1)
        share = (position - low).view(-1, *[1] * (3 - dim))
        x = x.index_select(dim, low) * (1 - share) + x.index_select(dim, high) * share
    return x


def averaged(x: Tensor, side: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, channels, height // side, side, width // side, side).mean(dim=(3, 5))


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution as nine matrix products."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return bias[:, None, None] + sum(
        torch.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )


def test_the_pyramid_equals_a_rewrite_without_torchs_interpolation_pooling_and_convolution() -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8)
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    features = random_features((3, 6, 12, 24), 32, 48)
    state = neck.state_dict()

    merged = torch.cat([enlarged(x, 2**i) for i, x in enumerate(features)], dim=1)
    mixed = torch.einsum("oc,nchw->nohw", state["reduction_conv.weight"][:, :, 0, 0], merged)
    mixed = mixed + state["reduction_conv.bias"][:, None, None]
    expected = [
        convolved(averaged(mixed, 2**i), state[f"fpn_convs.{i}.weight"], state[f"fpn_convs.{i}.bias"])
        for i in range(5)
    ]

    for ours, theirs in zip(neck(features), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_levels_have_the_strides_and_channels_that_are_announced() -> None:
    neck = HRFPN(in_channels=(2, 4, 8, 16), out_channels=8)
    height, width = 64, 128  # pixels

    levels = neck(random_features((2, 4, 8, 16), height // 4, width // 4))

    assert neck.strides == (4, 8, 16, 32, 64)
    assert [tuple(level.shape) for level in levels] == [
        (2, neck.out_channels, height // stride, width // stride) for stride in neck.strides
    ]


def test_weights_start_uniform_by_fan_in_and_biases_at_zero() -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(18, 36, 72, 144))

    for name, parameter in neck.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            bound = math.sqrt(3 / parameter[0].numel())  # Caffe2's Xavier: variance 1 / fan_in
            assert 0.99 * bound < parameter.abs().max() <= bound


def test_every_parameter_and_every_map_gets_a_gradient() -> None:
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=4)
    features = [x.requires_grad_() for x in random_features((3, 6, 12, 24), 16, 16)]

    loss = torch.stack([level.square().sum() for level in neck(features)]).sum()

    assert all(gradient.any() for gradient in torch.autograd.grad(loss, [*features, *neck.parameters()]))
