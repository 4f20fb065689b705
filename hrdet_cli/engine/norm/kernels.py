"""The arithmetic of batch norm on one process's features, between which statistics and sums are exchanged.

One interface, and its implementation in plain operations; :mod:`.native_kernels` has those in torch's own
kernels.  All compute in float32, or in float64 where the features are, and give outputs and gradients the
dtype and memory format of the features.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from hrdet_cli.engine.norm.vectors import join

ALL_BUT_CHANNELS = (0, 2, 3)


class Reductions(Protocol):
    """What is added up over features; every tensor other than features and gradients is ``(C,)``."""

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of ``(N, C, H, W)`` features."""

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sums of the gradient, and of its product with the normalised features, over pictures and pixels.

        These are the gradients of bias and weight.  Variance and ``inverse_std`` are those of
        :meth:`Kernels.normalise`.
        """


class InputGradientRows(NamedTuple):
    """What the gradient of features is made of, for all channels of several norms: see :mod:`.vectors`.

    Attributes:
        mean: Of the features.
        inverse_std: Of these, too.
        weight: What multiplies the normalised features.
        mean_gradient: Mean of the outputs' gradient, over all pixels that the statistics are of.
        mean_product: Likewise of its product with the normalised features.
    """

    mean: Any
    inverse_std: Any
    weight: Any
    mean_gradient: Any
    mean_product: Any

    def as_linear_map(self) -> tuple[Any, Any, Any]:
        """Rows a, b and c of ``a * gradient + b * features + c``, which is the gradient of the features."""
        of_gradient = self.inverse_std * self.weight
        of_features = -of_gradient * self.inverse_std * self.mean_product
        return of_gradient, of_features, -of_gradient * self.mean_gradient - of_features * self.mean


class Kernels(Reductions, Protocol):
    """All that a batch norm computes."""

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

    def input_gradients(
        self, gradients: Sequence[Tensor], features: Sequence[Tensor], rows: InputGradientRows
    ) -> list[Tensor]:
        """Gradients of the features of several norms, given those of the outputs."""


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
        """See :class:`Reductions`."""
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
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
        del variance  # an argument of other kernels
        upstream = gradient.to(mean.dtype)
        products = upstream * (features.to(mean.dtype) - to_map(mean))
        return upstream.sum(ALL_BUT_CHANNELS), products.sum(ALL_BUT_CHANNELS) * inverse_std

    def input_gradients(
        self, gradients: Sequence[Tensor], features: Sequence[Tensor], rows: InputGradientRows
    ) -> list[Tensor]:
        """See :class:`Kernels`."""
        of_norms = zip(gradients, features, *linear_maps(features, rows), strict=True)
        return [
            torch.addcmul(c, x.to(c.dtype), b)
            .addcmul_(gradient.to(c.dtype), a)
            .to(x.dtype, memory_format=memory_format_of(x))
            for gradient, x, a, b, c in of_norms
        ]


def linear_maps(features: Sequence[Tensor], rows: InputGradientRows) -> list[list[Tensor]]:
    """For a, b and c of :meth:`InputGradientRows.as_linear_map`, the part of each of several features.

    ``(C, 1, 1)``, in the precision of these.
    """
    return by_norm(rows.as_linear_map(), features, as_maps=True)


def by_norm(rows: Sequence[Any], features: Sequence[Tensor], *, as_maps: bool = False) -> list[list[Tensor]]:
    """For each row of all channels, the part that belongs to each of several features.

    ``(C,)``, or as maps ``(C, 1, 1)``, in the precision of these.
    """
    is_double = any(x.dtype == torch.float64 for x in features)
    vector = join(rows, torch.float64 if is_double else torch.float32, as_maps=as_maps)
    parts = torch.split(vector, [x.shape[1] for x in features] * len(rows))
    of_features = zip(parts, [*features] * len(rows), strict=True)
    in_precision = [part.to(precision_of(x)) for part, x in of_features]
    return [in_precision[start : start + len(features)] for start in range(0, len(parts), len(features))]


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
