"""Kernels that leave the padding out, against batch norm of the pictures' pixels laid end to end."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.norm import valid_kernels
from hrdet_cli.engine.norm.kernels import PlainKernels, Reductions
from hrdet_cli.engine.norm.valid_area import ValidArea, ValidCells
from hrdet_cli.engine.norm.valid_kernels import ValidFusedKernels, ValidPlainKernels, valid_kernels_for
from hrdet_cli.engine.structures import Size

C = 6
AREA = ValidArea.on_canvas(Size(64, 96), torch.tensor([[64, 40], [20, 96]]))
CELLS = AREA.levels[2]


def seeded(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FEATURES, GRADIENT = 2 * seeded(2, C, 8, 12, seed=0) + 3, seeded(2, C, 8, 12, seed=1)
EPS = 1e-5


def pixels_of(maps: Tensor) -> Tensor:
    """``(1, C, P)``, the pixels that count."""
    return maps.transpose(0, 1)[:, CELLS.is_valid[:, 0]][None]


@pytest.fixture(params=[ValidPlainKernels, ValidFusedKernels])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reductions:
    """The fused kernels exist on CUDA alone; here plain ones stand in for what is called of them."""
    monkeypatch.setattr(valid_kernels, "FusedKernels", PlainKernels)
    chosen: Reductions = request.param(CELLS)
    return chosen


def reduced(kernels: Reductions, features: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """All that is added up over a forward and a backward pass."""
    mean, variance = kernels.statistics(features)
    shifted = variance + EPS
    sums, products = kernels.gradient_sums(gradient, features, mean, shifted, shifted.rsqrt())
    return {"mean": mean, "variance": variance, "weight's gradient": products, "bias's gradient": sums}


def answer() -> dict[str, Tensor]:
    pixels = pixels_of(FEATURES)
    weight, bias = (torch.ones(C, dtype=torch.float64, requires_grad=True) for _ in range(2))
    output = F.batch_norm(pixels, None, None, weight, bias, training=True, eps=EPS)
    gradients = torch.autograd.grad(output, (weight, bias), pixels_of(GRADIENT))
    variance, mean = torch.var_mean(pixels, dim=(0, 2), correction=0)
    return {
        "mean": mean,
        "variance": variance,
        "weight's gradient": gradients[0],
        "bias's gradient": gradients[1],
    }


def assert_near(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, exact in expected.items():
        atol = tolerance * exact.abs().max().item()
        torch.testing.assert_close(found[name].double(), exact, rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
)
def test_they_add_up_the_pictures_pixels(
    kernels: Reductions, dtype: torch.dtype, tolerance: float, layout: torch.memory_format
) -> None:
    features, gradient = (x.to(dtype).contiguous(memory_format=layout) for x in (FEATURES, GRADIENT))
    assert_near(reduced(kernels, features, gradient), answer(), tolerance)


def test_what_the_padding_holds_has_no_effect(kernels: Reductions) -> None:
    padding = ~CELLS.is_valid
    clean = reduced(kernels, FEATURES, GRADIENT)
    dirty = reduced(kernels, FEATURES.masked_fill(padding, 1e6), GRADIENT.masked_fill(padding, -1e6))
    assert_near(dirty, clean, 1e-12)


def test_autocast_costs_statistics_and_sums_no_precision(kernels: Reductions) -> None:
    features, gradient = FEATURES.float(), GRADIENT.float()
    plain = reduced(kernels, features, gradient)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = reduced(kernels, features, gradient)
    assert all(torch.equal(cast[name], plain[name]) for name in plain)


def test_fused_kernels_are_for_cuda_and_not_for_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen() -> type[Reductions]:
        return type(valid_kernels_for(FEATURES, CELLS))

    assert chosen() is ValidPlainKernels
    monkeypatch.setattr(valid_kernels, "may_be_fused", lambda _: True)
    assert chosen() is ValidFusedKernels


def test_one_valid_pixel_has_a_variance_of_zero(kernels: Reductions) -> None:
    only = torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    only[..., 0, 0] = True
    cells = ValidCells(is_valid=only, sizes=torch.tensor([[1, 1]]), count=torch.tensor(1.0).double())
    mean, variance = type(kernels)(cells).statistics(FEATURES[:1, :, :2, :2])  # type: ignore[call-arg]
    torch.testing.assert_close(mean, FEATURES[0, :, 0, 0])
    assert (variance.abs() < 1e-20).all()
