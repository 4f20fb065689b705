"""All implementations against autograd through plain formulas in float64.

The fused kernels exist on CUDA alone: here they are re-stated in plain operations that check their arguments.
"""

from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.norm.kernels import InputGradientRows, Kernels, PlainKernels, densely_laid_out
from hrdet_cli.engine.norm.native_kernels import CpuKernels, FusedKernels, kernels_for
from hrdet_cli.engine.norm.vectors import gather

C = 6


def seeded(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


FEATURES = 2 * seeded(2, C, 5, 7, seed=0) + 3
GRADIENT = seeded(2, C, 5, 7, seed=1)
WEIGHT, BIAS = seeded(C, seed=2), seeded(C, seed=3)
MEAN, INVERSE_STD = seeded(C, seed=4), seeded(C, seed=5).abs() + 0.5
MEAN_GRADIENT, MEAN_PRODUCT = seeded(C, seed=6), seeded(C, seed=7)


def to_map(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)


def is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def accumulation_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def check(x: Tensor, *vectors: Tensor) -> None:
    """What torch's CUDA kernels ask of their arguments."""
    assert is_dense(x)
    expected = accumulation_dtype(x), (x.shape[1],)
    assert all((v.dtype, tuple(v.shape)) == expected and v.is_contiguous() for v in vectors)


def restated_update_stats(x: Tensor, mean: None, variance: None, momentum: float) -> tuple[Tensor, Tensor]:
    check(x)
    values = x.to(accumulation_dtype(x))
    return values.mean((0, 2, 3)), values.var((0, 2, 3), correction=0)


def restated_elemt(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, invstd: Tensor, eps: float
) -> Tensor:
    check(x, mean, invstd)
    y = (x.to(mean.dtype) - to_map(mean)) * to_map(invstd)
    y = y if weight is None or bias is None else y * to_map(weight) + to_map(bias)
    return y.to(x.dtype)


def restated_backward_reduce(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    input_g: bool,
    weight_g: bool,
    bias_g: bool,
) -> tuple[Tensor, Tensor, None, None]:
    check(x, mean, invstd)
    assert (gradient.dtype, gradient.stride(), input_g) == (x.dtype, x.stride(), True)
    upstream = gradient.to(mean.dtype)
    products = upstream * (x.to(mean.dtype) - to_map(mean))
    return upstream.sum((0, 2, 3)), products.sum((0, 2, 3)), None, None


def restated_backward_elemt(
    gradient: Tensor,
    x: Tensor,
    mean: Tensor,
    invstd: Tensor,
    weight: Tensor | None,
    sum_dy: Tensor,
    sum_dy_xmu: Tensor,
    count: Tensor,
) -> Tensor:
    check(x, mean, invstd, sum_dy, sum_dy_xmu, *([] if weight is None else [weight]))
    assert (gradient.dtype, gradient.stride()) == (x.dtype, x.stride())
    assert count.dtype == torch.int32
    share = 1 / count.sum()
    slope = to_map(invstd.square() * sum_dy_xmu * share)
    inner = gradient.to(mean.dtype) - to_map(sum_dy * share) - (x.to(mean.dtype) - to_map(mean)) * slope
    return (inner * to_map(invstd if weight is None else invstd * weight)).to(x.dtype)


@pytest.fixture(params=[PlainKernels, CpuKernels, FusedKernels])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kernels:
    if request.param is FusedKernels:
        monkeypatch.setattr(torch, "batch_norm_update_stats", restated_update_stats)
    monkeypatch.setattr(torch, "batch_norm_elemt", restated_elemt)
    monkeypatch.setattr(torch, "batch_norm_backward_reduce", restated_backward_reduce)
    monkeypatch.setattr(torch, "batch_norm_backward_elemt", restated_backward_elemt)
    chosen: Kernels = request.param()
    return chosen


@pytest.fixture(
    params=[
        (torch.float64, torch.contiguous_format),
        (torch.float64, torch.channels_last),
        (torch.float32, torch.contiguous_format),
        (torch.bfloat16, torch.channels_last),
    ],
    ids=["float64", "float64 channels-last", "float32", "bfloat16 channels-last"],
)
def features(request: pytest.FixtureRequest) -> Tensor:
    dtype, layout = request.param
    return FEATURES.to(dtype).contiguous(memory_format=layout)


def like(features: Tensor, *vectors: Tensor) -> list[Tensor]:
    return [vector.to(accumulation_dtype(features)) for vector in vectors]


def input_gradients(
    kernels: Kernels, gradients: list[Tensor], features: list[Tensor], *vectors: Tensor
) -> list[Tensor]:
    """Given mean, inverse_std, weight, mean_gradient and mean_product of each channel, in this order."""
    _, rows = gather(vectors, len(vectors))
    return kernels.input_gradients(gradients, features, InputGradientRows(*rows))


def assert_near(found: Tensor, expected: Tensor, features: Tensor) -> None:
    """To the precision of the features' dtype."""
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 3e-2}[found.dtype]
    scale = expected.abs().max().item()
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance * scale)


def test_statistics_are_those_of_pictures_and_pixels(kernels: Kernels, features: Tensor) -> None:
    mean, variance = kernels.statistics(features)

    assert mean.dtype == variance.dtype == accumulation_dtype(features)
    exact = features.double()
    assert_near(mean, exact.mean((0, 2, 3)), features)
    assert_near(variance, exact.var((0, 2, 3), correction=0), features)


@pytest.mark.parametrize("affine", [True, False])
def test_features_are_normalised_in_their_dtype_and_layout(
    kernels: Kernels, features: Tensor, affine: bool
) -> None:
    weight, bias = like(features, WEIGHT, BIAS) if affine else (None, None)

    statistics = like(features, MEAN, INVERSE_STD.pow(-2), INVERSE_STD)
    output = kernels.normalise(features, weight, bias, *statistics)

    expected = (features.double() - to_map(MEAN)) * to_map(INVERSE_STD)
    assert (output.dtype, output.stride()) == (features.dtype, features.stride())
    assert_near(output, expected * to_map(WEIGHT) + to_map(BIAS) if affine else expected, features)


@pytest.mark.parametrize("affine", [True, False])
def test_gradients_are_those_of_autograd(kernels: Kernels, affine: bool) -> None:
    x = FEATURES.clone().requires_grad_()
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    inverse_std = (variance + 1e-5).rsqrt()
    scale = WEIGHT if affine else torch.ones_like(WEIGHT)
    y = (x - to_map(mean)) * to_map(inverse_std) * to_map(scale)
    (expected,) = torch.autograd.grad(y, x, GRADIENT)
    mean, inverse_std = mean.detach(), inverse_std.detach()

    sums, products = kernels.gradient_sums(GRADIENT, FEATURES, mean, inverse_std.pow(-2), inverse_std)
    count = FEATURES.numel() // C
    (found,) = input_gradients(
        kernels, [GRADIENT], [FEATURES], mean, inverse_std, scale, sums / count, products / count
    )

    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_input_gradients_have_the_features_dtype_and_layout(kernels: Kernels, features: Tensor) -> None:
    gradient = GRADIENT.to(features.dtype)  # NCHW, whatever the features are
    variance = INVERSE_STD.pow(-2)

    sums, products = kernels.gradient_sums(gradient, features, *like(features, MEAN, variance, INVERSE_STD))
    vectors = MEAN, INVERSE_STD, WEIGHT, MEAN_GRADIENT, MEAN_PRODUCT
    (found,) = input_gradients(kernels, [gradient], [features], *vectors)

    exact_gradient = gradient.double()
    normalised = (features.double() - to_map(MEAN)) * to_map(INVERSE_STD)
    assert sums.dtype == products.dtype == accumulation_dtype(features)
    assert_near(sums, exact_gradient.sum((0, 2, 3)), features)
    assert_near(products, (exact_gradient * normalised).sum((0, 2, 3)), features)
    inner = exact_gradient - to_map(MEAN_GRADIENT) - normalised * to_map(MEAN_PRODUCT)
    assert (found.dtype, found.stride()) == (features.dtype, features.stride())
    assert_near(found, inner * to_map(INVERSE_STD * WEIGHT), features)


def test_several_norms_get_their_own_channels(kernels: Kernels) -> None:
    other = FEATURES[:, :2].float()  # fewer channels, another dtype
    vectors = MEAN, INVERSE_STD, WEIGHT, MEAN_GRADIENT, MEAN_PRODUCT
    both = [torch.cat((vector, vector[:2])) for vector in vectors]

    together = input_gradients(kernels, [GRADIENT, GRADIENT[:, :2].float()], [FEATURES, other], *both)

    (alone,) = input_gradients(kernels, [GRADIENT], [FEATURES], *vectors)
    assert torch.equal(together[0], alone)
    assert together[1].dtype == torch.float32
    torch.testing.assert_close(together[1].double(), alone[:, :2], rtol=1e-5, atol=1e-4)


def test_an_expanded_gradient_is_laid_out_before_it_meets_a_kernel(kernels: Kernels) -> None:
    gradient = torch.ones((), dtype=torch.float64).expand_as(FEATURES)  # what sum() sends back

    sums, _ = kernels.gradient_sums(gradient, FEATURES, MEAN, INVERSE_STD.pow(-2), INVERSE_STD)

    assert sums.tolist() == [70.0] * C


def test_layouts_that_are_dense_are_kept_and_others_copied() -> None:
    channels_last = FEATURES.contiguous(memory_format=torch.channels_last)

    assert densely_laid_out(FEATURES) is FEATURES
    assert densely_laid_out(channels_last) is channels_last
    assert is_dense(densely_laid_out(FEATURES[..., ::2]))


def test_features_meet_the_kernels_of_their_device_and_plain_ones_when_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OnCuda:
        is_cuda = True
        device = torch.device("cuda")

    on_cuda: Any = OnCuda()

    assert type(kernels_for(FEATURES)) is CpuKernels
    assert type(kernels_for(FEATURES.to("meta"))) is PlainKernels
    assert type(kernels_for(on_cuda)) is FusedKernels
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert type(kernels_for(on_cuda)) is PlainKernels
    assert type(kernels_for(FEATURES)) is PlainKernels
