"""Normalising by the statistics of a batch: of one process or of all, over all pixels or the pictures' alone.

Every process may hold a different number of pictures, of different sizes.  What is merged is therefore never
a mean of means but sums: of pixels, values and squares in the forward pass; of the gradient, and of its
product with the centred input, in the backward pass.  The result is that of one process holding all pictures.

The input's gradient is that of the *sum* of all processes' losses.  Gradients of scale and shift stay local
sums, as those of every other parameter do: data-parallel training adds them up.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hrdet_cli.engine.distributed.collectives import sum_over_processes
from hrdet_cli.engine.norm.kernels import Kernels, densely_laid_out, kernels_for, precision_of
from hrdet_cli.engine.norm.valid_area import CountedArea, ValidRegions
from hrdet_cli.engine.norm.valid_kernels import valid_kernels_for

Item = TypeVar("Item")

MergeRule = Literal["exact", "equal-count"]
"""Each process weighs as much as it has pixels, or all the same: see :class:`.sync.SyncBatchNorm2d`."""


def normalise_by_batch(
    norms: Sequence[nn.BatchNorm2d],
    inputs: Sequence[Tensor],
    *,
    area: CountedArea | None,
    merge: MergeRule | None,
) -> list[Tensor]:
    """Normalise by the statistics of a batch and record them.

    Vectors are ``(T,)``, the channels of all norms end to end.

    Args:
        norms: Whose settings, parameters and running statistics to use.
        inputs: ``(N, C, H, W)`` features for each.
        area: Count the pixels of the pictures only, and put out zeros elsewhere; None counts all.
        merge: How to merge the batches of all processes, which then come here together: one message now, one
            in the backward pass. None takes this process's alone.
    """
    for norm, features in zip(norms, inputs, strict=True):
        norm._check_input_dim(features)
    inputs = [densely_laid_out(features) for features in inputs]
    sizes = [norm.num_features for norm in norms]
    precision = torch.float64 if any(x.dtype == torch.float64 for x in inputs) else torch.float32

    statistics = [_kernels(x, area).statistics(x) for x in (features.detach() for features in inputs)]
    mean, variance = (torch.cat(parts).double() for parts in zip(*statistics, strict=True))
    counts = _spread([_num_pixels(x, area) for x in inputs], sizes, like=mean)
    # One, or what makes this process's pixels weigh one together.
    pixel_weight = counts.reciprocal() if merge == "equal-count" else torch.ones_like(counts)
    total_weight = counts * pixel_weight
    if merge is not None:
        total_weight, mean, variance = _merged(total_weight, mean, variance)

    num_pixels = total_weight / pixel_weight  # of all processes; under the equal-count rule as each believes
    unbiased_variance = variance * num_pixels / (num_pixels - 1).clamp(min=1)
    of_batch = torch.stack([mean, unbiased_variance]).to(precision)
    if isinstance(area, ValidRegions):  # of which there may be none, and nothing to record
        of_batch = of_batch.where(num_pixels >= 1, _recorded(norms, like=of_batch))
    merged = torch.split(of_batch, sizes, dim=1)
    for norm, (batch_mean, batch_variance) in zip(norms, merged, strict=True):
        record_batch(norm, batch_mean, batch_variance)
    inverse_std = (variance + _spread([norm.eps for norm in norms], sizes, like=variance)).rsqrt()
    outputs: tuple[Tensor, ...] = _Normalise.apply(
        area,
        merge is not None,
        mean.to(precision),
        inverse_std.to(precision),
        pixel_weight,
        total_weight,
        *inputs,
        *(norm.weight for norm in norms),
        *(norm.bias for norm in norms),
    )
    return list(outputs)


@torch.no_grad()
def record_batch(norm: nn.BatchNorm2d, mean: Tensor, unbiased_variance: Tensor) -> None:
    """Count a batch into the running statistics, as torch's batch norm does with its own batch."""
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked.add_(1)
    dtype = norm.running_mean.dtype
    # The cumulative mean's share stays a tensor: reading the counter would wait for the device.
    share = norm.num_batches_tracked.to(dtype).reciprocal() if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(dtype), share)
    norm.running_var.lerp_(unbiased_variance.to(dtype), share)


def _recorded(norms: Sequence[nn.BatchNorm2d], *, like: Tensor) -> Tensor:
    """``(2, T)``: running means and variances; where a norm has none, anything."""
    columns = [
        torch.stack([norm.running_mean, norm.running_var]).to(like)
        if norm.running_mean is not None and norm.running_var is not None
        else like.new_zeros(2, norm.num_features)
        for norm in norms
    ]
    return torch.cat(columns, dim=1)


def _num_pixels(features: Tensor, area: CountedArea | None) -> float | Tensor:
    """Those that count, of one channel; only the device knows them where there is an area."""
    return features.numel() // features.shape[1] if area is None else area.cells_of(features).count


def _kernels(features: Tensor, area: CountedArea | None) -> Kernels:
    return kernels_for(features) if area is None else valid_kernels_for(features, area.cells_of(features))


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
        area: CountedArea | None,
        all_processes: bool,
        mean: Tensor,
        inverse_std: Tensor,
        pixel_weight: Tensor,
        total_weight: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        features, weights, biases = _in_parts(tensors, 3)
        ctx.area, ctx.all_processes = area, all_processes
        ctx.save_for_backward(mean, inverse_std, pixel_weight, total_weight, *features, *weights)
        by_norm = zip(
            features, weights, biases, _split(mean, features), _split(inverse_std, features), strict=True
        )
        return tuple(_kernels(x, area).normalise(x, *of_channels) for x, *of_channels in by_norm)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        mean, inverse_std, pixel_weight, total_weight, *tensors = ctx.saved_tensors
        features, weights = _in_parts(tensors, 2)
        features_need, weights_need, biases_need = _in_parts(ctx.needs_input_grad[6:], 3)
        means, inverse_stds = _split(mean, features), _split(inverse_std, features)
        kernels = [_kernels(x, ctx.area) for x in features]
        by_norm = list(zip(kernels, gradients, features, weights, means, inverse_stds, strict=True))

        pairs = [ours.gradient_sums(gradient, x, *of_x) for ours, gradient, x, _, *of_x in by_norm]
        sums, products = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        of_features: list[Tensor | None] = [None] * len(features)
        if any(features_need):
            total = torch.stack([sums, products]).double() * pixel_weight
            if ctx.all_processes:
                total = sum_over_processes(total, what="batch-norm gradients")
            over_all = (total / total_weight).to(mean.dtype)
            through_means = zip(*(_split(row, features) for row in over_all), strict=True)
            of_features = [
                ours.input_gradient(gradient, x, *of_x, *through_mean) if needed else None
                for needed, (ours, gradient, x, *of_x), through_mean in zip(
                    features_need, by_norm, through_means, strict=True
                )
            ]
        of_weights = _where(weights_need, _split(products * inverse_std, features))
        of_biases = _where(biases_need, _split(sums, features))
        return (None, None, None, None, None, None, *of_features, *of_weights, *of_biases)


def _spread(values: Sequence[float | Tensor], sizes: Sequence[int], *, like: Tensor) -> Tensor:
    """One number for each norm as one for each channel, made on the device without a copy to it."""
    parts = [
        value.expand(size) if isinstance(value, Tensor) else like.new_full((size,), value)
        for value, size in zip(values, sizes, strict=True)
    ]
    return torch.cat(parts)


def _split(vector: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
    """The part of a ``(T,)`` vector that belongs to each of several features, in their precision."""
    parts = torch.split(vector, [x.shape[1] for x in features])
    return [part.to(precision_of(x)) for part, x in zip(parts, features, strict=True)]


def _in_parts(items: Sequence[Item], num_parts: int) -> list[Sequence[Item]]:
    length = len(items) // num_parts
    return [items[start : start + length] for start in range(0, len(items), length)]


def _where(needed: Sequence[bool], gradients: Sequence[Tensor]) -> list[Tensor | None]:
    return [gradient if is_needed else None for is_needed, gradient in zip(needed, gradients, strict=True)]
