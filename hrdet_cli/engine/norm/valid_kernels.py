"""Statistics and sums of batch norm when only the pixels of the pictures count.

Whatever finite values features and gradients hold elsewhere.  Maps are computed everywhere, by
:mod:`.kernels`, and cleared there.  Torch has no fused kernel for statistics and sums that leave pixels out.
"""

import torch
from torch import Tensor

from hrdet_cli.engine.norm.kernels import (
    ALL_BUT_CHANNELS,
    Reductions,
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


def valid_kernels_for(features: Tensor, cells: ValidCells) -> Reductions:
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
        """See :class:`Reductions`."""
        values = features.to(precision_of(features))
        count = self.count.to(values.dtype)
        mean = self._sum(values) / count
        return mean, self._sum(_normalised(values, mean, torch.ones_like(mean)).square_()) / count

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
        del inverse_std  # an argument of the fused kernel
        upstream = gradient.to(mean.dtype)
        products = _normalised(features.to(mean.dtype), mean, variance).mul_(upstream)
        return self._sum(upstream), self._sum(products)

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
        """See :class:`Reductions`.

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

    def gradient_sums(
        self, gradient: Tensor, features: Tensor, mean: Tensor, variance: Tensor, inverse_std: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See :class:`Reductions`."""
        return FusedKernels().gradient_sums(gradient * self.is_valid, features, mean, variance, inverse_std)


def _normalised(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Of each channel; a variance of 1 only takes the mean off."""
    return apply_statistics(values, None, None, mean, variance)
