from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models import winograd
from hrdet_cli.engine.models.winograd import Conv2d, convolve_3x3


def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=dtype, generator=generator).requires_grad_()


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(2, 3, 8, 12), (1, 2, 5, 7), (3, 1, 4, 6), (1, 4, 9, 1)])
@pytest.mark.parametrize("cells_of_band", [2048, 20, 1])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_and_its_gradients_are_the_direct_one(
    shape: tuple[int, ...],
    has_bias: bool,
    cells_of_band: int,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(winograd, "_CELLS_OF_BAND", cells_of_band)
    features, weight = draw(*shape).contiguous(memory_format=layout), draw(5, shape[1], 3, 3)
    bias = draw(5) if has_bias else None
    inputs = [features, weight, *([bias] if bias is not None else [])]

    expected = F.conv2d(features, weight, bias, padding=1)
    gradient = torch.randn_like(expected, memory_format=layout)
    gradients = torch.autograd.grad(expected, inputs, gradient)
    convolved = convolve_3x3(features, weight, bias)

    torch.testing.assert_close(convolved, expected)
    torch.testing.assert_close(torch.autograd.grad(convolved, inputs, gradient), gradients)


def test_in_float32_it_rounds_little_more_than_a_direct_one() -> None:
    features, weight = draw(1, 256, 12, 16, dtype=torch.float32), draw(256, 256, 3, 3, dtype=torch.float32)
    exact = F.conv2d(features.double(), weight.double(), padding=1)

    error = (convolve_3x3(features, weight, None) - exact).abs().max() / exact.abs().max()

    assert error < 1e-5


def test_what_follows_may_change_the_result_in_place() -> None:
    features, weight = draw(1, 2, 4, 4), draw(3, 2, 3, 3)

    of_changed, of_direct = (
        torch.autograd.grad(F.relu(convolved, inplace=True).sum(), weight)
        for convolved in (convolve_3x3(features, weight, None), F.conv2d(features, weight, padding=1))
    )

    torch.testing.assert_close(of_changed, of_direct)


def test_gradients_that_nobody_needs_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Tensor) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(winograd, "_gradient_of_weight", fail)
    features = draw(1, 2, 4, 4)

    convolved = convolve_3x3(features, draw(3, 2, 3, 3).detach(), None)

    assert torch.autograd.grad(convolved.sum(), features)[0].any()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What ``convolve_3x3`` gets from layers of 8 channels and more on maps of 16 cells and more."""
    seen: list[Tensor] = []

    def note(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen.append(features)
        return convolve_3x3(features, weight, bias)

    monkeypatch.setattr(winograd, "convolve_3x3", note)
    for name, value in (("_MIN_CHANNELS_IN", 8), ("_MIN_CHANNELS_OUT", 8), ("_MIN_CELLS", 16)):
        monkeypatch.setattr(winograd, name, value)
    return seen


def test_a_wide_layer_takes_it_on_a_large_map(calls: list[Tensor]) -> None:
    layer, features = Conv2d(8, 8, 3, padding=1), draw(1, 8, 4, 4, dtype=torch.float32)

    torch.testing.assert_close(layer(features), nn.Conv2d.forward(layer, features))
    assert calls == [features]


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(7, 8, 3, padding=1),
        Conv2d(8, 7, 3, padding=1),
        Conv2d(8, 8, 3),
        Conv2d(8, 8, 1),
        Conv2d(8, 8, 3, stride=2, padding=1),
        Conv2d(8, 8, 3, padding=1, groups=2),
        Conv2d(8, 8, 3, padding=1, dilation=2),
        Conv2d(8, 8, 3, padding=1, padding_mode="reflect"),
    ],
    ids=str,
)
def test_other_layers_are_torchs(layer: Conv2d, calls: list[Tensor]) -> None:
    features = draw(1, layer.in_channels, 5, 5, dtype=torch.float32)

    assert torch.equal(layer(features), nn.Conv2d.forward(layer, features))
    assert not calls


@pytest.mark.parametrize(
    "run",
    [
        lambda layer, features: layer(features[..., :3]),
        lambda layer, features: layer(features[0]),
        lambda layer, features: layer.double()(features.double()),
        lambda layer, features: torch.autocast("cpu", dtype=torch.bfloat16)(layer)(features),
        lambda layer, features: torch.export.export(layer, (features,)).module()(features),
    ],
    ids=["a small map", "a map alone", "float64", "autocast", "an exported graph"],
)
def test_all_else_is_torchs(run: Callable[[Conv2d, Tensor], Tensor], calls: list[Tensor]) -> None:
    run(Conv2d(8, 8, 3, padding=1), draw(1, 8, 4, 4, dtype=torch.float32))

    assert not calls
