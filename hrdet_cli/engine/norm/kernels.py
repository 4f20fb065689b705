"""The arithmetic of batch norm on one process's features, between which statistics and sums are exchanged.

One interface, and its implementation in plain operations; :mod:`.native_kernels` has those in torch's own
kernels.  All compute in float32, or in float64 where the features are, and give outputs and gradients the
dtype and memory format of the features.
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
        self,
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """Compute ``(features - mean) * inverse_std * weight + bias``.

        The variance, positive, is the one of which ``inverse_std`` is the inverse root: either may be used.
        """

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


def precision_of(features: Tensor) -> torch.dtype:
    """Dtype of statistics and sums: float32, or float64 where the features are."""
    return torch.float64 if features.dtype == torch.float64 else torch.float32


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
        self,
        features: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        inverse_std: Tensor,
    ) -> Tensor:
        """See :class:`Kernels`."""
        del inverse_std  # an argument of the fused kernel
        return apply_statistics(features, weight, bias, mean, variance)

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


def memory_format_of(features: Tensor) -> torch.memory_format:
    """Channels-last if features are; a single channel or pixel is both."""
    if features.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def laid_out_like(features: Tensor, gradient: Tensor) -> Tensor:
    """The gradient in the memory format of the features."""
    return gradient.contiguous(memory_format=memory_format_of(features))


def to_map(values: Tensor) -> Tensor:
    """``(C,)`` as ``(C, 1, 1)``, which broadcasts over ``(N, C, H, W)``."""
    return values[:, None, None]
