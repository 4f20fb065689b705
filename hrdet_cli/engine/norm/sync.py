"""Batch normalisation with the statistics of the batch of all processes, each weighted by its pixels.

Every process may hold a different number of pictures, of different sizes.  What is merged is therefore never
a mean of means but sums: of pixels, values and squares in the forward pass; of the gradient, and of its
product with the centred input, in the backward pass.  The result is that of one process holding all pictures.

The input's gradient is that of the *sum* of all processes' losses.  Gradients of scale and shift stay local
sums, as those of every other parameter do: data-parallel training adds them up.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hrdet_cli.engine.distributed.collectives import sum_over_processes
from hrdet_cli.engine.distributed.world import current_world

_ALL_BUT_CHANNELS = (0, 2, 3)


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes; with one process exactly :class:`torch.nn.BatchNorm2d`.

    In training mode all processes must reach their norms in the same order, each with at least one picture.
    ``state_dict`` is that of the base class.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features; in training one message forward and one backward."""
        if not self.training or current_world().size == 1:
            return super().forward(input)
        self._check_input_dim(input)
        count, mean, variance = _statistics_of_all_processes(input.detach())
        self._update_running_statistics(count, mean, variance)
        normalised: Tensor = _Normalise.apply(input, self.weight, self.bias, count, mean, variance, self.eps)
        return normalised

    @torch.no_grad()
    def _update_running_statistics(self, count: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Do as the base class does with its own batch; the running variance is the unbiased one."""
        if not self.track_running_stats:
            return
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def _statistics_of_all_processes(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Number of pixels ``()``, mean ``(C,)`` and biased variance ``(C,)`` over all processes, float64.

    Sums of squares lose the variance of a channel whose mean is large, so they are formed from the local
    variance and travel in float64: the message stays a few kilobytes, and what it costs is its latency.
    """
    variance, mean = torch.var_mean(features.to(_precision(features)), dim=_ALL_BUT_CHANNELS, correction=0)
    count = mean.new_full((1,), features.numel() // features.shape[1], dtype=torch.float64)
    mean, variance = mean.double(), variance.double()
    message = sum_over_processes(torch.cat([count, count * mean, count * (variance + mean.square())]))
    count = message[0]
    mean, mean_square = (message[1:] / count).chunk(2)
    return count, mean, (mean_square - mean.square()).clamp(min=0)


def _precision(features: Tensor) -> torch.dtype:
    """Dtype to add up in: float32, or float64 where the features are."""
    return torch.promote_types(features.dtype, torch.float32)


class _Normalise(torch.autograd.Function):
    """``(x - mean) / sqrt(variance + eps) * weight + bias``; mean and variance depend on all processes' x."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        count: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
    ) -> Tensor:
        precision = _precision(features)
        ctx.save_for_backward(
            features, weight, count, mean.to(precision), (variance + eps).rsqrt().to(precision)
        )
        return F.batch_norm(
            features, mean.to(precision), variance.to(precision), weight, bias, training=False, eps=eps
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, count, mean, inverse_std = ctx.saved_tensors
        gradient_input = None
        upstream = gradient.to(mean.dtype)
        centred = features.to(mean.dtype) - _per_channel(mean)
        sums = torch.stack([upstream.sum(_ALL_BUT_CHANNELS), (upstream * centred).sum(_ALL_BUT_CHANNELS)])
        if ctx.needs_input_grad[0]:
            through_mean, through_variance = (sum_over_processes(sums) / count).to(mean.dtype)
            through_batch = _per_channel(through_mean) + centred * _per_channel(
                through_variance * inverse_std.square()
            )
            gradient_input = (upstream - through_batch) * _per_channel(weight * inverse_std)
            gradient_input = gradient_input.to(features.dtype)
        return gradient_input, sums[1] * inverse_std, sums[0], None, None, None, None


def _per_channel(values: Tensor) -> Tensor:
    """``(C,)`` as ``(C, 1, 1)``, which broadcasts over ``(N, C, H, W)``."""
    return values[:, None, None]
