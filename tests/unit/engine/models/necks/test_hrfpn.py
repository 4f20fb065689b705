import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.necks.hrfpn import HRFPN, Interpolation, Pooling
from hrdet_cli.engine.models.normed_convs import NormChoice
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size

CHANNELS_AND_STRIDES = ((3, 4), (6, 8), (12, 16), (24, 32))


def sizes_of(pictures: list[Size]) -> Tensor:
    return torch.tensor([[size.height, size.width] for size in pictures])


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


def repeated(x: Tensor, factor: int) -> Tensor:
    return x.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def averaged(x: Tensor, side: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, channels, height // side, side, width // side, side).mean(dim=(3, 5))


def largest(x: Tensor, side: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.view(batch, channels, height // side, side, width // side, side).amax(dim=(3, 5))


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 3x3 convolution as nine matrix products."""
    height, width = x.shape[-2:]
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return bias[:, None, None] + sum(
        torch.einsum("oc,nchw->nohw", weight[:, :, i, j], padded[:, :, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("pooling", ["average", "max"])
def test_the_pyramid_equals_a_rewrite_without_torchs_interpolation_pooling_and_convolution(
    interpolation: Interpolation, pooling: Pooling
) -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8, interpolation=interpolation, pooling=pooling)
    enlarge = {"bilinear": enlarged, "nearest": repeated}[interpolation]
    pool = {"average": averaged, "max": largest}[pooling]
    for parameter in neck.parameters():
        torch.nn.init.normal_(parameter)
    features = random_features((3, 6, 12, 24), 32, 48)
    state = neck.state_dict()

    merged = torch.cat([enlarge(x, 2**i) for i, x in enumerate(features)], dim=1)
    mixed = torch.einsum("oc,nchw->nohw", state["reduction_conv.weight"][:, :, 0, 0], merged)
    mixed = mixed + state["reduction_conv.bias"][:, None, None]
    expected = [
        convolved(pool(mixed, 2**i), state[f"fpn_convs.{i}.weight"], state[f"fpn_convs.{i}.bias"])
        for i in range(5)
    ]

    for ours, theirs in zip(neck(features).levels, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def mix_at_stride_4(context: pytest.MonkeyPatch) -> None:
    """Have the neck concatenate the enlarged maps and mix them by one convolution, as on a GPU."""
    context.setattr(HRFPN, "_mixed_apart", HRFPN._mixed_together)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("hides_padding", [True, False])
def test_maps_that_are_mixed_before_they_are_enlarged_have_the_same_pyramid_and_gradients(
    interpolation: Interpolation, hides_padding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8, interpolation=interpolation).double()
    torch.nn.init.normal_(neck.get_parameter("reduction_conv.bias"))
    features = [x.double().requires_grad_() for x in random_features((3, 6, 12, 24), 32, 48)]
    area = ValidArea.on_canvas(Size(128, 192), sizes_of([Size(96, 192), Size(128, 64)]))

    def levels_and_gradients() -> list[Tensor]:
        levels = neck(features, area if hides_padding else None).levels
        loss = torch.stack([level.square().sum() for level in levels]).sum()
        return [*levels, *torch.autograd.grad(loss, [*features, *neck.parameters()])]

    on_cpu = levels_and_gradients()
    mix_at_stride_4(monkeypatch)

    torch.testing.assert_close(on_cpu, levels_and_gradients(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("canvas", [(64, 96), (128, 192), (160, 320)])
def test_from_stride_8_every_convolution_takes_every_second_pixel(canvas: tuple[int, int]) -> None:
    torch.manual_seed(0)
    coarse = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8, finest_stride=8)
    fine = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8)
    fine.load_state_dict(coarse.state_dict())
    features = random_features((3, 6, 12, 24), canvas[0] // 4, canvas[1] // 4)

    pyramid = coarse(features)

    assert pyramid.strides == coarse.strides == (8, 16, 32, 64, 128)
    for ours, level in zip(pyramid.levels, fine(features).levels, strict=True):
        torch.testing.assert_close(ours, level[:, :, ::2, ::2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_a_norm_takes_the_place_of_each_bias(norm: NormChoice, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=64, norm=norm)
    plain = HRFPN(in_channels=(3, 6, 12, 24), out_channels=64)
    layer = {"batch": nn.BatchNorm2d(64), "group": nn.GroupNorm(32, 64)}[norm]
    features = random_features((3, 6, 12, 24), 16, 32)
    state = {name: x for name, x in neck.state_dict().items() if "norm" not in name}
    plain.load_state_dict(state, strict=False)  # its biases are zero
    plain.reduction_conv.register_forward_hook(lambda *call: layer(call[2]))

    with monkeypatch.context() as context:
        mix_at_stride_4(context)
        expected = [layer(level) for level in plain(features).levels]

    assert not any(name.endswith("conv.bias") for name in neck.state_dict())
    for ours, theirs in zip(neck(features).levels, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_levels_have_the_strides_and_channels_that_are_announced() -> None:
    neck = HRFPN(in_channels=(2, 4, 8, 16), out_channels=8)
    height, width = 64, 128  # pixels

    pyramid = neck(random_features((2, 4, 8, 16), height // 4, width // 4))

    assert pyramid.strides == neck.strides == (4, 8, 16, 32, 64)
    assert [tuple(level.shape) for level in pyramid.levels] == [
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

    loss = torch.stack([level.square().sum() for level in neck(features).levels]).sum()

    assert all(gradient.any() for gradient in torch.autograd.grad(loss, [*features, *neck.parameters()]))


PICTURES = [Size(64, 64), Size(32, 96), Size(96, 160)]
"""Areas: of the second and third the last row or column at stride 64 is half a cell."""


def at_stride(size: Size, stride: int) -> tuple[slice, slice, slice]:
    return slice(None), slice(-(-size.height // stride)), slice(-(-size.width // stride))


@pytest.mark.parametrize("canvas", [Size(96, 160), Size(128, 192), Size(256, 320)])
@pytest.mark.parametrize(
    "build",
    [
        partial(HRFPN, interpolation="nearest"),
        partial(HRFPN, pooling="max"),
        partial(HRFPN, finest_stride=8),
        partial(HRFPN, finest_stride=8, pooling="max", norm="group"),
        HRFPN,
    ],
)
def test_with_an_area_a_picture_s_pyramid_is_that_of_the_picture_alone(
    canvas: Size, build: Callable[..., HRFPN]
) -> None:
    torch.manual_seed(0)
    neck = build(in_channels=(3, 6, 12, 24), out_channels=64).double()
    for name, parameter in neck.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    maps = [
        torch.zeros(3, c, canvas.height // s, canvas.width // s).double() for c, s in CHANNELS_AND_STRIDES
    ]
    alone = []
    for index, size in enumerate(PICTURES):
        own = [x.double() for x in random_features((3, 6, 12, 24), size.height // 4, size.width // 4)]
        for whole, part, (_, stride) in zip(maps, own, CHANNELS_AND_STRIDES, strict=True):
            whole[index][at_stride(size, stride)] = part[0]
        alone.append([part[:1] for part in own])

    area = ValidArea.on_canvas(canvas, sizes_of(PICTURES))
    pyramid = neck(maps, area)

    assert pyramid.area is area
    for index, size in enumerate(PICTURES):
        expected = neck(alone[index], ValidArea.on_canvas(size, sizes_of([size])))
        for level, exact, stride in zip(pyramid.levels, expected.levels, neck.strides, strict=True):
            torch.testing.assert_close(level[index][at_stride(size, stride)], exact[0], rtol=0, atol=1e-12)
            is_padding = torch.ones(level.shape[-2:], dtype=torch.bool)
            is_padding[at_stride(size, stride)[1:]] = False
            assert (level[index][:, is_padding] == 0).all()


@pytest.mark.parametrize(("interpolation", "pooling"), [("bilinear", "average"), ("nearest", "max")])
def test_an_area_that_fills_the_canvas_changes_nothing(
    interpolation: Interpolation, pooling: Pooling
) -> None:
    torch.manual_seed(0)
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=4, interpolation=interpolation, pooling=pooling)
    features = random_features((3, 6, 12, 24), 32, 48)
    area = ValidArea.on_canvas(Size(128, 192), sizes_of([Size(128, 192)] * 2))
    for with_area, without in zip(neck(features, area).levels, neck(features).levels, strict=True):
        torch.testing.assert_close(with_area, without)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_the_incomplete_cells_of_the_coarsest_level_are_made_of_the_picture_s_pixels(
    pooling: Pooling,
) -> None:
    neck = HRFPN(in_channels=(1, 1, 1, 1), out_channels=1, pooling=pooling)
    for conv in (neck.reduction_conv, *neck.fpn_convs):
        torch.nn.init.zeros_(conv.weight)
    neck.reduction_conv.weight.data[0, 0] = 1  # the map at stride 4 as it is
    neck.get_parameter("fpn_convs.4.weight").data[0, 0, 1, 1] = 1  # and at stride 64
    area = ValidArea.on_canvas(Size(64, 128), sizes_of([Size(32, 96)]))
    features = random_features((1, 1, 1, 1), 16, 32)
    picture = -features[0][:1, :, :8, :24].abs()  # rows and columns at stride 4; below the padding's zeros
    mapped = [torch.zeros_like(x[:1]) for x in features]
    mapped[0][..., :8, :24] = picture

    coarsest = neck(mapped, area).levels[-1]

    halves = picture[..., :16], picture[..., 16:]
    expected = torch.stack([half.mean() if pooling == "average" else half.max() for half in halves])
    torch.testing.assert_close(coarsest.flatten(), expected)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("hides_padding", [True, False])
def test_under_autocast_levels_and_what_they_are_made_of_stay_in_its_dtype(
    interpolation: Interpolation, hides_padding: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    neck = HRFPN(in_channels=(3, 6, 12, 24), out_channels=8, interpolation=interpolation)
    features = [x.bfloat16() for x in random_features((3, 6, 12, 24), 16, 16)]
    dtypes: list[torch.dtype] = []
    neck.reduction_conv.register_forward_pre_hook(lambda _, inputs: dtypes.append(inputs[0].dtype))
    area = ValidArea.on_canvas(Size(64, 64), torch.tensor([[64, 64], [32, 64]])) if hides_padding else None
    with torch.autocast("cpu", torch.bfloat16):
        on_cpu = neck(features, area)
        mix_at_stride_4(monkeypatch)
        on_others = neck(features, area)
    assert dtypes == [torch.bfloat16]
    assert {level.dtype for level in (*on_cpu.levels, *on_others.levels)} == {torch.bfloat16}
