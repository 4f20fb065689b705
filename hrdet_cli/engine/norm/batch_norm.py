"""Normalising by the statistics of a batch: of one process or of all, over all pixels or the pictures' alone.

Every process may hold a different number of pictures, of different sizes.  What is merged is therefore never
a mean of means but sums: of pixels, values and squares in the forward pass; of the gradient, and of its
product with the centred input, in the backward pass.  The result is that of one process holding all pictures.

The input's gradient is that of the *sum* of all processes' losses.  Gradients of scale and shift stay local
sums, as those of every other parameter do: data-parallel training adds them up.

Vectors are ``(T,)``, the channels of all norms end to end: see :mod:`.vectors`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from hrdet_cli.engine.distributed.collectives import add_over_processes
from hrdet_cli.engine.norm.kernels import (
    InputGradientRows,
    Reductions,
    by_norm,
    densely_laid_out,
)
from hrdet_cli.engine.norm.native_kernels import kernels_for
from hrdet_cli.engine.norm.recompute import note_batch, noted_batch
from hrdet_cli.engine.norm.remade import note_way, ways_are_wanted
from hrdet_cli.engine.norm.valid_area import CountedArea, ValidRegions
from hrdet_cli.engine.norm.valid_kernels import valid_kernels_for
from hrdet_cli.engine.norm.vectors import gather, join, silently, spread

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
    batch = noted_batch()
    if batch is None:
        batch = _statistics_of_batch(norms, inputs, area, merge)
        note_batch(batch)
    recorded = batch.means, batch.unbiased_variances
    if isinstance(area, ValidRegions):  # of which there may be none, and nothing to record
        recorded = _what_is_there(batch, norms)
    record_batch(norms, *recorded)
    outputs: tuple[Tensor, ...] = _Normalise.apply(
        area,
        merge is not None,
        batch.rows,
        *batch.means,
        *batch.variances,
        *batch.inverse_stds,
        *inputs,
        *(norm.weight for norm in norms),
        *(norm.bias for norm in norms),
    )
    if ways_are_wanted():
        of_norms = zip(outputs, norms, inputs, batch.means, batch.variances, batch.inverse_stds, strict=True)
        for output, norm, x, *of_x in of_norms:
            parameters = norm.weight, norm.bias
            note_way(output, partial(_normalised_again, area, x.detach(), *parameters, *of_x))
    return list(outputs)


@torch.no_grad()
def record_batch(
    norms: Sequence[nn.BatchNorm2d], means: Sequence[Tensor], unbiased_variances: Sequence[Tensor]
) -> None:
    """Count a batch into the running statistics of norms, as torch's batch norm does with its own batch."""
    counters: list[Tensor] = []
    pairs_by_momentum: dict[float, list[tuple[Tensor, Tensor]]] = {}
    for norm, mean, variance in zip(norms, means, unbiased_variances, strict=True):
        if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
            continue
        dtype = norm.running_mean.dtype
        pairs = ((norm.running_mean, mean.to(dtype)), (norm.running_var, variance.to(dtype)))
        counters.append(norm.num_batches_tracked)
        if norm.momentum is not None:
            pairs_by_momentum.setdefault(norm.momentum, []).extend(pairs)
            continue
        # The cumulative mean's share stays a tensor: reading the counter would wait for the device.
        share = (norm.num_batches_tracked + 1).to(dtype).reciprocal()
        for recorded, found in pairs:
            recorded.lerp_(found, share)
    if counters:
        torch._foreach_add_(counters, 1)
    for momentum, moved in pairs_by_momentum.items():
        torch._foreach_lerp_([old for old, _ in moved], [new for _, new in moved], momentum)


class _BatchRows(NamedTuple):
    """What the backward pass computes with, ``(T,)`` each: see :mod:`.vectors`.

    Attributes:
        num_pixels: Of all processes; under the equal-count rule as each believes.
        means: Of each channel.
        inverse_stds: Inverse roots of the variance and epsilon.
        weights: The norms' own; ones where they have none.
    """

    num_pixels: Any
    means: Any
    inverse_stds: Any
    weights: Any


class _Batch(NamedTuple):
    """What a batch is normalised by; sequences have ``(C,)`` for each norm, in the precision of its features.

    Attributes:
        rows: The same for all norms together.
        means: Of each channel.
        unbiased_variances: What is recorded.
        variances: Biased, and with epsilon.
        inverse_stds: Inverse roots of these.
    """

    rows: _BatchRows
    means: Sequence[Tensor]
    unbiased_variances: Sequence[Tensor]
    variances: Sequence[Tensor]
    inverse_stds: Sequence[Tensor]


@torch.no_grad()
def _statistics_of_batch(
    norms: Sequence[nn.BatchNorm2d],
    inputs: Sequence[Tensor],
    area: CountedArea | None,
    merge: MergeRule | None,
) -> _Batch:
    sizes = [norm.num_features for norm in norms]
    means, variances = zip(*(_reductions(x, area).statistics(x) for x in inputs), strict=True)
    counts = spread([_num_pixels(x, area) for x in inputs], sizes, like=inputs[0])
    message, of_process = gather([counts, *means, *variances], 3)
    epsilon: Any = norms[0].eps
    if any(norm.eps != epsilon for norm in norms):
        _, (epsilon,) = gather([spread([norm.eps for norm in norms], sizes, like=inputs[0])], 1)
    _, (weight,) = gather([_weight_of(norm, x) for norm, x in zip(norms, inputs, strict=True)], 1)
    with silently():
        num_pixels, mean, variance = _merged(message, of_process, merge)
        unbiased = variance * (num_pixels / (num_pixels - 1).clip(min=1))
        shifted = variance + epsilon
        inverse_std = shifted**-0.5
    rows = _BatchRows(num_pixels, mean, inverse_std, weight)
    return _Batch(rows, *by_norm([mean, unbiased, shifted, inverse_std], inputs))


def _weight_of(norm: nn.BatchNorm2d, features: Tensor) -> Tensor:
    """``(C,)``; ones if the norm has no scale and shift."""
    return norm.weight if norm.affine else features.new_ones(norm.num_features)


def _merged(message: Tensor, rows: Any, merge: MergeRule | None) -> tuple[Any, Any, Any]:
    """Number of pixels, mean and biased variance over all processes, from the rows of this process's message.

    Sums of squares lose the variance of a channel whose mean is large, so they are formed from the local
    variance and travel in float64.
    """
    num_pixels, mean, variance = rows
    if merge is None:
        return num_pixels, mean, variance
    pixels_of_one = None
    if merge == "equal-count":  # processes weigh one, and believe that all have as many pixels as they have
        pixels_of_one = num_pixels / 1  # a copy
        num_pixels /= pixels_of_one
    sums = rows[1:]
    variance += mean * mean
    sums *= num_pixels
    add_over_processes(message, what="batch-norm statistics")
    sums /= num_pixels
    if pixels_of_one is not None:
        num_pixels *= pixels_of_one
    return num_pixels, mean, (variance - mean * mean).clip(min=0)


def _what_is_there(
    batch: _Batch, norms: Sequence[nn.BatchNorm2d]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Means and unbiased variances, or those recorded where there are no pixels."""
    num_pixels = join([batch.rows.num_pixels], torch.float64)
    is_there = torch.split(num_pixels >= 1, [norm.num_features for norm in norms])

    def chosen(found: Sequence[Tensor], recorded: Sequence[Tensor | None]) -> list[Tensor]:
        return [
            new if old is None else new.where(there, old.to(new))
            for there, new, old in zip(is_there, found, recorded, strict=True)
        ]

    return (
        chosen(batch.means, [norm.running_mean for norm in norms]),
        chosen(batch.unbiased_variances, [norm.running_var for norm in norms]),
    )


def _num_pixels(features: Tensor, area: CountedArea | None) -> float | Tensor:
    """Those that count, of one channel; only the device knows them where there is an area."""
    return features.numel() // features.shape[1] if area is None else area.cells_of(features).count


def _reductions(features: Tensor, area: CountedArea | None) -> Reductions:
    return kernels_for(features) if area is None else valid_kernels_for(features, area.cells_of(features))


class _Normalise(torch.autograd.Function):
    """``(x - mean) * inverse_std * weight + bias`` for several x; the statistics depend on all processes' x.

    One node of the graph for all norms of a message.  Processes build equal graphs in the same order, and
    autograd runs a graph's nodes in the reverse of the order in which they were made, however long each
    takes; so the messages of the backward pass meet their like.  Which inputs need a gradient, and so have
    sums in the message, is a property of the network too, and not of the batch.
    """

    @staticmethod
    def forward(
        ctx: Any, area: CountedArea | None, all_processes: bool, rows: _BatchRows, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        means, variances, inverse_stds, features, weights, biases = _in_parts(tensors, 6)
        ctx.area, ctx.all_processes, ctx.rows = area, all_processes, rows
        ctx.save_for_backward(*means, *variances, *inverse_stds, *features)
        of_norms = zip(features, weights, biases, means, variances, inverse_stds, strict=True)
        return tuple(_cleared([kernels_for(x).normalise(x, *of_x) for x, *of_x in of_norms], area))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        means, variances, inverse_stds, features = _in_parts(ctx.saved_tensors, 4)
        *_, features_need, weights_need, biases_need = _in_parts(ctx.needs_input_grad[3:], 6)

        of_norms = zip(gradients, features, means, variances, inverse_stds, strict=True)
        both_sums = [
            _reductions(x, ctx.area).gradient_sums(gradient, x, *of_x) for gradient, x, *of_x in of_norms
        ]
        sums, products = zip(*both_sums, strict=True)
        of_features: list[Tensor | None] = [None] * len(features)
        if any(features_need):
            message, averages = gather([*sums, *products], 2)
            num_pixels, *of_batch = ctx.rows
            with silently():
                averages /= num_pixels
                if ctx.all_processes:
                    add_over_processes(message, what="batch-norm gradients")
                rows = InputGradientRows(*of_batch, *averages)
                found = kernels_for(features[0]).input_gradients(gradients, features, rows)
            of_features = _where(features_need, _cleared(found, ctx.area))
        no_gradient = [None] * (3 + 3 * len(features))
        return (
            *no_gradient,
            *of_features,
            *_where(weights_need, products),
            *_where(biases_need, sums),
        )


def _normalised_again(area: CountedArea | None, features: Tensor, *of_features: Any) -> Tensor:
    """One of the outputs, given what ``Kernels.normalise`` is."""
    return _cleared([kernels_for(features).normalise(features, *of_features)], area)[0]


def _cleared(maps: Sequence[Tensor], area: CountedArea | None) -> list[Tensor]:
    """Maps that nobody else has, with zeros in the padding."""
    if area is None:
        return [*maps]
    masks = [area.cells_of(map_).is_valid for map_ in maps]
    if torch.compiler.is_compiling():  # torch 2.11 loses all gradients of an output that is changed in place
        return [map_ * mask for map_, mask in zip(maps, masks, strict=True)]
    torch._foreach_mul_([*maps], masks)
    return [*maps]


def _where(needed: Sequence[bool], gradients: Sequence[Tensor]) -> list[Tensor | None]:
    return [gradient if need else None for need, gradient in zip(needed, gradients, strict=True)]


def _in_parts(items: Sequence[Item], num_parts: int) -> list[Sequence[Item]]:
    length = len(items) // num_parts
    return [items[start : start + length] for start in range(0, len(items), length)]
