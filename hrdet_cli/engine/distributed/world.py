"""Which process this is, among how many."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch.distributed as dist

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.ranks import World

__all__ = ["World", "current_world", "working_alone"]


@dataclass(slots=True)
class _Solitude:
    """Whether this process does something without the others; read by autograd's threads too."""

    is_on: bool = False


_SOLITUDE = _Solitude()


def current_world() -> World:
    """The world of the default process group; one process alone where none was initialised."""
    if _SOLITUDE.is_on or not dist.is_available() or not dist.is_initialized():
        return World()
    return World(rank=dist.get_rank(), size=dist.get_world_size())


@contextmanager
def working_alone() -> Iterator[None]:
    """Inside, this process is one alone: collectives are the identity, whatever the others do meanwhile."""
    _SOLITUDE.is_on = True
    num_collectives = ACTIVITY.num_collectives
    try:
        yield
    finally:
        _SOLITUDE.is_on = False
        ACTIVITY.num_collectives = num_collectives  # the others did not make those in between
