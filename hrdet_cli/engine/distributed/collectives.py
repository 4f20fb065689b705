"""Collectives that are the identity in one process, so that one process and many are the same path.

All traffic between processes goes through here, or through :mod:`.side_group` while others compute: every
exchange has a name, which the watchdog reports when it does not come to an end.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.distributed.activity import collective
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.own_operators import define_operator

Value = TypeVar("Value")


def sum_over_processes(tensor: Tensor, *, what: str = "sum") -> Tensor:
    """Sum of a tensor over all processes; not differentiable.

    Args:
        tensor: Same shape and dtype on every process. Left as it is.
        what: What is added up, for the watchdog.

    Returns:
        The sum, equal on every process.

    Raises:
        LostProcessError: A process is gone; as for every function here.
    """
    if current_world().size == 1:
        return tensor
    total = tensor.detach().clone()
    add_over_processes(total, what=what)
    return total


def add_over_processes(tensor: Tensor, *, what: str = "sum") -> None:
    """Replace a tensor by its sum over all processes.

    Args:
        tensor: Same shape and dtype on every process; needs no gradient.
        what: What is added up, for the watchdog.
    """
    if current_world().size == 1:
        return
    if torch.compiler.is_compiling():  # a graph does not look into the operator, which so counts when it runs
        tensor.copy_(torch.ops.hrdet.sum_over_processes(tensor, what))
        return
    with collective(what):
        dist.all_reduce(tensor)


def _sum_in_graph(tensor: Tensor, what: str) -> Tensor:
    total = tensor.clone()
    add_over_processes(total, what=what)
    return total


def _sum_without_values(tensor: Tensor, what: str) -> Tensor:  # noqa: ARG001 - the operator's arguments
    return torch.empty_like(tensor)


define_operator("sum_over_processes", cpu=_sum_in_graph, cuda=_sum_in_graph, fake=_sum_without_values)


def mean_over_processes(tensor: Tensor, *, what: str = "mean") -> Tensor:
    """Mean of a tensor over all processes; not differentiable."""
    return sum_over_processes(tensor, what=what) / current_world().size


def any_process(flag: bool, *, what: str = "agreement") -> bool:
    """Whether a flag is set on any process; the same answer on all. Travels through host memory."""
    return bool(sum_over_processes(torch.tensor(int(flag)), what=what))


def gather_everywhere(value: Value, *, what: str = "gathering") -> list[Value]:
    """A picklable value of every process, by rank, on every process."""
    size = current_world().size
    if size == 1:
        return [value]
    values: list[Value | None] = [None] * size
    with collective(what):
        dist.all_gather_object(values, value)
    return cast("list[Value]", values)


def gather_to_first(value: Value, *, what: str = "gathering") -> list[Value] | None:
    """A picklable value of every process, by rank, on rank 0; None on the others."""
    world = current_world()
    if world.size == 1:
        return [value]
    values: list[Value | None] | None = [None] * world.size if world.rank == 0 else None
    with collective(what):
        dist.gather_object(value, values)
    return cast("list[Value] | None", values)


def broadcast_from_first(value: Value, *, what: str = "message of rank 0") -> Value:
    """Rank 0's picklable value on every process; what the others give is not looked at."""
    if current_world().size == 1:
        return value
    values = [value]
    with collective(what):
        dist.broadcast_object_list(values, src=0)
    return values[0]


def from_first(make: Callable[[], Value], *, what: str) -> Value:
    """Let only rank 0 do something, and give its result to all.

    Args:
        make: Called on rank 0; its result must be picklable.
        what: What it makes, for the watchdog.
    """
    made = make() if current_world().rank == 0 else None
    return cast("Value", broadcast_from_first(made, what=what))


def wait_for_all(*, what: str = "barrier") -> None:
    """Return when every process has come here."""
    any_process(False, what=what)
