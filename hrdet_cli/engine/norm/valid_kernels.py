"""The arithmetic of batch norm when only the pixels of the pictures count.

Statistics and sums are of those pixels, and outputs and gradients of the features are zero elsewhere,
whatever finite values features and gradients hold there.  The two implementations are those of
:mod:`.kernels`; torch has no fused kernel for statistics and sums that leave pixels out.
"""

import torch
from torch import Tensor

from hrdet_cli.engine.norm.kernels import (
    ALL_BUT_CHANNELS,
    Kernels,
    PlainKernels,
    apply_statistics,
    densely_laid_out,
    precision_of,
    to_map,
)
from hrdet_cli.engine.norm.native_kernels import FusedKernels, may_be_fused
from hrdet_cli.engine.norm.valid_area import ValidCells
from hrdet_cli.engine.numerics import without_autocast

_SAMPLED = 8
"""Rows and columns from one sampled pixel to the next."""


def valid_kernels_for(features: Tensor, cells: ValidCells) -> Kernels:
    """Those of the features' device.

    Args:
        features: ``(N, C, H, W)``.
        cells: Those that count.
    """
    return ValidFusedKernels(cells) if may_be_fused(features) else ValidPlainKernels(cells)


class ValidPlainKernels:
    """Tensor operations that every device and ``torch.compile`` know, chosen for their speed on a CPU.

    There torch's batch norm with given statistics is the fastest map of each channel by a factor and a
    summand, and a product of matrices the fastest sum over some of the pixels.
    """

    def __init__(self, cells: ValidCells) -> None:
        self.is_valid, self.count = cells.is_valid, cells.count

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        values = features.to(precision_of(features))
        count = self.count.to(values.dtype)
        mean = self._sum(values) / count
        return mean, self._sum(_mapped(values, mean, None, None).square_()) / count

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
        everywhere = PlainKernels().normalise(features, weight, bias, mean, variance, inverse_std)
        if (
            torch.compiler.is_compiling()
        ):  # torch 2.11 loses all gradients of an output that is changed in place
            return everywhere * self.is_valid
        return everywhere.mul_(self.is_valid)

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        del inverse_std  # an argument of the fused kernel
        upstream = gradient.to(mean.dtype)
        products = _mapped(features.to(mean.dtype), mean, None, None).mul_(upstream)
        return self._sum(upstream), self._sum(products)

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
        slope = -scale * mean_product * inverse_std.square()
        result = _mapped(features.to(mean.dtype), mean, slope, -scale * mean_gradient)
        result.addcmul_(gradient.to(mean.dtype), to_map(scale)).mul_(self.is_valid)
        return result.to(features.dtype)

    def _sum(self, values: Tensor) -> Tensor:
        """``(C,)``, over the pixels that count; exact products whatever autocast is told."""
        counts = self.is_valid.to(values.dtype).flatten(1)[:, None]
        with without_autocast(values.device.type):
            return torch.matmul(counts, values.flatten(2).transpose(1, 2)).sum((0, 1))


class ValidFusedKernels:
    """Torch's CUDA kernels, which know no padding, and what makes of their results those of the pictures."""

    def __init__(self, cells: ValidCells) -> None:
        self.is_valid, self.count = cells.is_valid, cells.count

    def statistics(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`.

        The padding is filled with a number for each channel, which is known, and what it adds to the
        statistics of all pixels is taken off them.  Any number would do; near the mean, no digits are lost.
        Nothing as large as the features is made but their filled copy, in their own dtype.
        """
        filling = self._near_mean(features)
        filled = torch.where(self.is_valid, features, to_map(filling))
        mean, variance = FusedKernels().statistics(densely_laid_out(filled))
        num_all = features.numel() / features.shape[1]
        num_padding = num_all - self.count
        shift = mean.double() - filling.double()
        own_mean = filling.double() + shift * num_all / self.count
        own_variance = (variance.double() - shift.square() * num_padding / self.count) * num_all / self.count
        return own_mean.to(mean.dtype), own_variance.clamp_(min=0).to(mean.dtype)

    def _near_mean(self, features: Tensor) -> Tensor:
        """``(C,)`` in the features' dtype: the mean of a pixel in 64 of those that count; 0 if none does."""
        sampled, counts = (x[..., ::_SAMPLED, ::_SAMPLED] for x in (features, self.is_valid))
        values = sampled.to(precision_of(features)) * counts
        return (values.sum(ALL_BUT_CHANNELS) / counts.sum().clamp(min=1)).to(features.dtype)

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
        everywhere = FusedKernels().normalise(features, weight, bias, mean, variance, inverse_std)
        return everywhere.mul_(self.is_valid)

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Kernels`."""
        return FusedKernels().gradient_sums(gradient * self.is_valid, features, mean, inverse_std)

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
        everywhere = FusedKernels().input_gradient(
            gradient, features, weight, mean, inverse_std, mean_gradient, mean_product
        )
        return everywhere.mul_(self.is_valid)


def _mapped(values: Tensor, mean: Tensor, factor: Tensor | None, summand: Tensor | None) -> Tensor:
    """``(values - mean) * factor + summand`` of each channel."""
    return apply_statistics(values, factor, summand, mean, torch.ones_like(mean))
