"""Collectives that are the identity in one process, so that one process and many are the same path."""

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
