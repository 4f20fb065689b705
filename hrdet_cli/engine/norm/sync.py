"""Batch normalisation with the statistics of the batch of all processes, each weighted by its pixels.

Every process may hold a different number of pictures, of different sizes.  What is merged is therefore never
a mean of means but sums: of pixels, values and squares in the forward pass; of the gradient, and of its
product with the centred input, in the backward pass.  The result is that of one process holding all pictures.

The input's gradient is that of the *sum* of all processes' losses.  Gradients of scale and shift stay local
sums, as those of every other parameter do: data-parallel training adds them up.

A message is a few kilobytes and costs its latency, so norms that are due together share one: all channels of
all of them are one long vector, from the statistics to the running ones.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hrdet_cli.engine.distributed.collectives import sum_over_processes
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.norm.kernels import densely_laid_out, kernels_for, precision_of

SyncBackEnd = Literal["coalesced", "per-layer", "equal-count"]
Item = TypeVar("Item")


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batch of all processes; with one process exactly :class:`torch.nn.BatchNorm2d`.

    In training mode all processes must reach their norms in the same order, each with at least one picture.
    ``state_dict`` is that of the base class.
    """

    def __init__(
        self,
        num_features: int,
        *,
        back_end: SyncBackEnd = "coalesced",
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Build as the base class does.

        Args:
            num_features: Channels.
            back_end: ``"coalesced"`` shares messages with the norms that are due at the same time,
                ``"per-layer"`` has one of its own.  ``"equal-count"``, too, but merges processes as if each
                held equally many pixels, as NVIDIA's apex did until July 2020 (its pull request 792): wrong
                unless they do, and here to show that.
            eps: See the base class, as for all that follows.
            momentum: None makes running statistics the mean of all batches'.
            affine: Have scale and shift.
            track_running_stats: Have running statistics.
            device: Of parameters and buffers.
            dtype: Of parameters and buffers.
        """
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.back_end = back_end

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the base class calls it so
        """Normalise ``(N, C, H, W)`` features; in training one message forward and one backward."""
        if not _synchronises(self):
            return super().forward(input)
        return _synchronise([self], [input])[0]

    @torch.no_grad()
    def record(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        """Count a batch into the running statistics, as the base class does with its own batch."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        dtype = self.running_mean.dtype
        # The cumulative mean's share stays a tensor: reading the counter would wait for the device.
        share = self.num_batches_tracked.to(dtype).reciprocal() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(dtype), share)
        self.running_var.lerp_(unbiased_variance.to(dtype), share)


def normalise_together(requests: Sequence[tuple[nn.Module, Tensor]]) -> list[Tensor]:
    """Apply norms that do not depend on each other, with one message for those that can share it.

    These are the ``"coalesced"`` :class:`SyncBatchNorm2d` in training mode; forward hooks on them do not run.
    Every other module, such as the norms of a frozen part, is called as usual.

    Args:
        requests: Norms and their ``(N, C, H, W)`` features, of any sizes and dtypes; on all processes the
            same norms in the same order.
    """
    sharing = [
        index
        for index, (norm, _) in enumerate(requests)
        if isinstance(norm, SyncBatchNorm2d) and norm.back_end == "coalesced" and _synchronises(norm)
    ]
    outputs = {index: norm(x) for index, (norm, x) in enumerate(requests) if index not in sharing}
    if sharing:
        norms: list[Any] = [requests[index][0] for index in sharing]
        shared = _synchronise(norms, [requests[index][1] for index in sharing])
        outputs.update(zip(sharing, shared, strict=True))
    return [outputs[index] for index in range(len(requests))]


def _synchronises(norm: SyncBatchNorm2d) -> bool:
    return norm.training and current_world().size > 1


def _synchronise(norms: Sequence[SyncBatchNorm2d], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Normalise by the statistics of all processes: one message now, one in the backward pass.

    Vectors are ``(T,)``, the channels of all norms end to end.
    """
    for norm, features in zip(norms, inputs, strict=True):
        norm._check_input_dim(features)
    inputs = [densely_laid_out(features) for features in inputs]
    sizes = [norm.num_features for norm in norms]
    precision = torch.float64 if any(x.dtype == torch.float64 for x in inputs) else torch.float32

    statistics = [kernels_for(x).statistics(x) for x in (features.detach() for features in inputs)]
    mean, variance = (torch.cat(parts).double() for parts in zip(*statistics, strict=True))
    counts = _spread([x.numel() // x.shape[1] for x in inputs], sizes, like=mean)
    # One, or what makes this process's pixels weigh one together.
    pixel_weight = counts.reciprocal() if norms[0].back_end == "equal-count" else torch.ones_like(counts)
    total_weight, mean, variance = _merged(counts * pixel_weight, mean, variance)

    num_pixels = total_weight / pixel_weight  # of all processes; under the equal-count rule as each believes
    unbiased_variance = variance * num_pixels / (num_pixels - 1).clamp(min=1)
    merged = torch.split(torch.stack([mean, unbiased_variance]).to(precision), sizes, dim=1)
    for norm, (batch_mean, batch_variance) in zip(norms, merged, strict=True):
        norm.record(batch_mean, batch_variance)
    inverse_std = (variance + _spread([norm.eps for norm in norms], sizes, like=variance)).rsqrt()
    outputs: tuple[Tensor, ...] = _Normalise.apply(
        mean.to(precision),
        inverse_std.to(precision),
        pixel_weight,
        total_weight,
        *inputs,
        *(norm.weight for norm in norms),
        *(norm.bias for norm in norms),
    )
    return list(outputs)


def _merged(weight: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Total weight, mean and biased variance over all processes, from this process's; ``(T,)`` float64 each.

    Sums of squares lose the variance of a channel whose mean is large, so they are formed from the local
    variance and travel in float64.
    """
    message = torch.stack([weight, weight * mean, weight * (variance + mean.square())])
    total_weight, total, total_of_squares = sum_over_processes(message, what="batch-norm statistics").unbind()
    mean = total / total_weight
    return total_weight, mean, (total_of_squares / total_weight - mean.square()).clamp(min=0)


class _Normalise(torch.autograd.Function):
    """``(x - mean) * inverse_std * weight + bias`` for several x; the statistics depend on all processes' x.

    One node of the graph for all norms of a message.  Processes build equal graphs in the same order, and
    autograd runs a graph's nodes in the reverse of the order in which they were made, however long each
    takes; so the messages of the backward pass meet their like.  Which inputs need a gradient, and so have
    sums in the message, is a property of the network too, and not of the batch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        mean: Tensor,
        inverse_std: Tensor,
        pixel_weight: Tensor,
        total_weight: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        features, weights, biases = _in_parts(tensors, 3)
        ctx.save_for_backward(mean, inverse_std, pixel_weight, total_weight, *features, *weights)
        by_norm = zip(
            features, weights, biases, _split(mean, features), _split(inverse_std, features), strict=True
        )
        return tuple(kernels_for(x).normalise(x, *of_channels) for x, *of_channels in by_norm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mean, inverse_std, pixel_weight, total_weight, *tensors = ctx.saved_tensors
        features, weights = _in_parts(tensors, 2)
        features_need, weights_need, biases_need = _in_parts(ctx.needs_input_grad[4:], 3)
        means, inverse_stds = _split(mean, features), _split(inverse_std, features)
        by_norm = list(zip(gradients, features, weights, means, inverse_stds, strict=True))

        pairs = [kernels_for(x).gradient_sums(gradient, x, *of_x) for gradient, x, _, *of_x in by_norm]
        sums, products = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        of_features: list[Tensor | None] = [None] * len(features)
        if any(features_need):
            message = torch.stack([sums, products]).double() * pixel_weight
            total = sum_over_processes(message, what="batch-norm gradients")
            over_processes = (total / total_weight).to(mean.dtype)
            through_means = zip(*(_split(row, features) for row in over_processes), strict=True)
            of_features = [
                kernels_for(x).input_gradient(gradient, x, *of_x, *through_mean) if needed else None
                for needed, (gradient, x, *of_x), through_mean in zip(
                    features_need, by_norm, through_means, strict=True
                )
            ]
        of_weights = _where(weights_need, _split(products * inverse_std, features))
        of_biases = _where(biases_need, _split(sums, features))
        return (None, None, None, None, *of_features, *of_weights, *of_biases)


def _spread(values: Sequence[float], sizes: Sequence[int], *, like: Tensor) -> Tensor:
    """One number for each norm as one for each channel, made on the device without a copy to it."""
    if len(set(values)) == 1:
        return like.new_full((sum(sizes),), values[0])
    return torch.cat([like.new_full((size,), value) for value, size in zip(values, sizes, strict=True)])


def _split(vector: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
    """The part of a ``(T,)`` vector that belongs to each of several features, in their precision."""
    parts = torch.split(vector, [x.shape[1] for x in features])
    return [part.to(precision_of(x)) for part, x in zip(parts, features, strict=True)]


def _in_parts(items: Sequence[Item], num_parts: int) -> list[Sequence[Item]]:
    length = len(items) // num_parts
    return [items[start : start + length] for start in range(0, len(items), length)]


def _where(needed: Sequence[bool], gradients: Sequence[Tensor]) -> list[Tensor | None]:
    return [gradient if is_needed else None for is_needed, gradient in zip(needed, gradients, strict=True)]
