"""The arithmetic of batch norm on one process's features, between which statistics and sums are exchanged.

Two implementations of one interface: plain tensor operations, and torch's fused CUDA kernels, which are those
of :class:`torch.nn.SyncBatchNorm`.  Both compute in float32, or in float64 where the features are, and give
outputs and gradients the dtype and memory format of the features.
"""

from typing import Protocol

import torch
from torch import Tensor

ALL_BUT_CHANNELS = (0, 2, 3)


class Kernels(Protocol):
    """What a batch norm computes; every tensor other than features and gradients is ``(C,)``."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of ``(N, C, H, W)`` features."""

    def normalise(
        self, features: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor
    ) -> Tensor:
        """Compute ``(features - mean) * inverse_std * weight + bias``."""

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums of the gradient, and of its product with the centred features, over pictures and pixels."""

    def input_gradient(
        self,
        gradient: Tensor,
        features: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        mean_gradient: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """Gradient of the features, given the means of what :meth:`gradient_sums` adds up."""


def kernels_for(features: Tensor) -> Kernels:
    """Fused kernels on CUDA; plain ones elsewhere and under ``torch.compile``, which fuses by itself."""
    return FusedKernels() if may_be_fused(features) else PlainKernels()


def may_be_fused(features: Tensor) -> bool:
    """Whether torch's CUDA kernels are to be used on features."""
    return features.is_cuda and not torch.compiler.is_compiling()


def precision_of(features: Tensor) -> torch.dtype:
    """Dtype of statistics and sums: float32, or float64 where the features are."""
    return torch.promote_types(features.dtype, torch.float32)


def densely_laid_out(features: Tensor) -> Tensor:
    """The features themselves if they are contiguous, as NCHW or as channels-last; else a copy that is."""
    return features.contiguous(memory_format=memory_format_of(features))


def apply_statistics(
    features: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    *,
    epsilon: float = 0.0,
) -> Tensor:
    """Compute ``(features - mean) / sqrt(variance + epsilon) * weight + bias``.

    This is torch's ``functional.batch_norm`` where an epsilon of zero is allowed; in torch 2.11 it is not.

    Args:
        features: ``(N, C, H, W)``.
        weight: ``(C,)`` as all that follows; None is one.
        bias: None is zero.
        mean: Subtracted.
        variance: Positive together with the epsilon.
        epsilon: Added to the variance.
    """
    unused_momentum = 0.0
    return torch.batch_norm(
        features, weight, bias, mean, variance, False, unused_momentum, epsilon, torch.backends.cudnn.enabled
    )


class PlainKernels:
    """Tensor operations that every device and ``torch.compile`` know."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        variance, mean = torch.var_mean(
            features.to(precision_of(features)), dim=ALL_BUT_CHANNELS, correction=0
        )
        return mean, variance

    def normalise(
        self, features: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor
    ) -> Tensor:
        """See :class:`Kernels`."""
        return apply_statistics(features, weight, bias, mean, inverse_std.pow(-2))

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        del inverse_std  # an argument of the fused kernel
        upstream = gradient.to(mean.dtype)
        products = upstream * (features.to(mean.dtype) - to_map(mean))
        return upstream.sum(ALL_BUT_CHANNELS), products.sum(ALL_BUT_CHANNELS)

    def input_gradient(
        self,
        gradient: Tensor,
        features: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        mean_gradient: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        scale = inverse_std if weight is None else inverse_std * weight
        slope = mean_product * inverse_std.square()
        centred = features.to(mean.dtype) - to_map(mean)
        result = gradient.to(mean.dtype) - to_map(mean_gradient)
        result.addcmul_(centred, to_map(slope), value=-1).mul_(to_map(scale))
        return result.to(features.dtype, memory_format=memory_format_of(features))


class FusedKernels:
    """Torch's CUDA kernels: one pass over the features for each method."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        # Without running statistics this "update" gives what torch.batch_norm_stats does, except for the
        # variance itself in place of its inverse root.
        mean, variance = torch.batch_norm_update_stats(features, None, None, 0.0)
        return mean, variance

    def normalise(
        self, features: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor
    ) -> Tensor:
        """See :class:`Kernels`."""
        unused_eps = 0.0
        return torch.batch_norm_elemt(features, weight, bias, mean, inverse_std, unused_eps)

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        sums, products, _, _ = torch.batch_norm_backward_reduce(
            _laid_out_like(features, gradient),
            features,
            mean,
            inverse_std,
            None,
            input_g=True,
            weight_g=False,
            bias_g=False,
        )
        return sums, products

    def input_gradient(
        self,
        gradient: Tensor,
        features: Tensor,
        weight: Tensor | None,
        mean: Tensor,
        inverse_std: Tensor,
        mean_gradient: Tensor,
        mean_product: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        # The kernel divides sums by the sum of all counts; ours are divided already.
        count = torch.ones(1, dtype=torch.int32, device=features.device)
        return torch.batch_norm_backward_elemt(
            _laid_out_like(features, gradient),
            features,
            mean,
            inverse_std,
            None if weight is None else weight.to(mean.dtype),
            mean_gradient,
            mean_product,
            count,
        )


def memory_format_of(features: Tensor) -> torch.memory_format:
    """Channels-last if features are; a single channel or pixel is both."""
    if features.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def _laid_out_like(features: Tensor, gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=memory_format_of(features))


def to_map(values: Tensor) -> Tensor:
    """``(C,)`` as ``(C, 1, 1)``, which broadcasts over ``(N, C, H, W)``."""
    return values[:, None, None]
