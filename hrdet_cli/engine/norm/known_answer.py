"""A synchronised batch norm on the live group, against an answer that every process works out alone.

Sizes differ from process to process, so that the weighting shows.  Pictures are a formula of the rank, so
that no random generator moves and every process knows what the others hold.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.sync import normalise_together

_CHANNELS_OF_NORMS = (5, 3)
"""Two norms that are due together; no powers of two, where kernels have gone wrong before."""


def known_answer_error(*, back_end: NormBackEnd, device: torch.device) -> float:
    """Largest relative error of two norms' forward and backward pass over the live group, in float32.

    All processes call this together; each gets its own error.  An exact back end stays below 1e-5; one that
    weighs processes wrongly, or a process that is taken for another, is far above 1e-2.

    Args:
        back_end: What synchronises.
        device: Where it runs.

    Returns:
        The largest difference of outputs, gradients and running statistics from the float64 answer, relative
        to the largest value of the same tensor; infinite if anything is not a number.

    Raises:
        SpecError: The back end is not to be had.
    """
    world = current_world()
    norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in _CHANNELS_OF_NORMS)
    convert_norm(norms, kind="sync", back_end=back_end)
    norms.to(device)
    pictures = [_pictures(world.rank, channels) for channels in _CHANNELS_OF_NORMS]
    inputs = [x.to(device, torch.float32).requires_grad_() for x in pictures]

    outputs = normalise_together(list(zip(norms, inputs, strict=True)))
    loss = torch.stack([(y * _slopes(y)).sum() for y in outputs]).sum()
    gradients = torch.autograd.grad(loss, inputs)

    errors = [0.0]
    for norm, output, gradient in zip(norms, outputs, gradients, strict=True):
        answer = _answer(world.rank, world.size, channels=output.shape[1])
        buffers = dict(norm.named_buffers())
        errors += [
            _relative_error(output, answer.output),
            _relative_error(gradient, answer.gradient),
            _relative_error(buffers["running_mean"], answer.running_mean),
            _relative_error(buffers["running_var"], answer.running_variance),
        ]
    return max(errors)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one process has to get; float64 on the CPU."""

    output: Tensor
    gradient: Tensor
    running_mean: Tensor
    running_variance: Tensor


def _answer(rank: int, size: int, *, channels: int) -> _Answer:
    """Plain batch norm of all processes' pixels, laid end to end as one ``(1, C, pixels)`` sequence."""
    pictures = [_pictures(other, channels) for other in range(size)]
    sequence = torch.cat([_as_sequence(x) for x in pictures], dim=1)[None].requires_grad_()
    slopes = torch.cat([_as_sequence(_slopes(x)) for x in pictures], dim=1)[None]
    mean, variance = sequence.new_zeros(channels), sequence.new_ones(channels)
    output = F.batch_norm(sequence, mean, variance, training=True)
    (gradient,) = torch.autograd.grad((output * slopes).sum(), sequence)

    own = pictures[rank]
    start = sum(x.numel() // channels for x in pictures[:rank])
    pixels = slice(start, start + own.numel() // channels)
    output, gradient = (_as_pictures(y[0, :, pixels], own.shape) for y in (output, gradient))
    return _Answer(output.detach(), gradient, mean, variance)


def _pictures(rank: int, channels: int) -> Tensor:
    """``(N, C, H, W)`` float64, of a size, mean and spread of this rank's own."""
    shape = (1 + rank % 2, channels, 2 + rank % 3, 3 + rank % 4)
    steps = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return (1 + rank % 3) * torch.sin(0.7 * steps + rank) + rank % 5


def _slopes(pictures: Tensor) -> Tensor:
    """The loss's gradient, different for every pixel, in the dtype and on the device of pictures."""
    steps = torch.arange(pictures.numel(), dtype=torch.float64, device=pictures.device)
    return torch.cos(0.3 * steps).view(pictures.shape).to(pictures.dtype)


def _as_sequence(pictures: Tensor) -> Tensor:
    return pictures.transpose(0, 1).flatten(1)


def _as_pictures(sequence: Tensor, shape: torch.Size) -> Tensor:
    return sequence.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)


def _relative_error(found: Tensor, expected: Tensor) -> float:
    """Of the worst element, against the largest one expected."""
    found = found.detach().cpu().double()
    if not found.isfinite().all():
        return math.inf
    return ((found - expected).abs().max() / expected.abs().max()).item()
