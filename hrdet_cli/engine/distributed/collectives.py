"""Collectives that are the identity in one process, so that one process and many are the same path."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.distributed.world import current_world


def sum_over_processes(tensor: Tensor) -> Tensor:
    """Sum of a tensor over all processes; not differentiable.

    Args:
        tensor: Same shape and dtype on every process. Left as it is.

    Returns:
        The sum, equal on every process.
    """
    if current_world().size == 1:
        return tensor
    total = tensor.detach().clone()
    dist.all_reduce(total)
    return total


def mean_over_processes(tensor: Tensor) -> Tensor:
    """Mean of a tensor over all processes; not differentiable.

    A loss divided by the mean of the processes' sample counts, then averaged over processes as
    data-parallel training does, is the loss of one process that holds the whole batch.
    """
    return sum_over_processes(tensor) / current_world().size


def average_over_processes(tensors: Sequence[Tensor]) -> None:
    """Replace tensors, such as all gradients, by their means over all processes: in place, in one message.

    Args:
        tensors: Same number, shapes and dtype on every process.
    """
    size = current_world().size
    if size == 1:
        return
    message = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(message)
    means = torch.split(message / size, [tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view_as(tensor))
