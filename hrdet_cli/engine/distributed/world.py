"""Which process this is, among how many."""

from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True, slots=True)
class World:
    """This process's place among all training processes.

    Attributes:
        rank: 0 .. size - 1.
        size: Number of processes over all nodes.
    """

    rank: int = 0
    size: int = 1


def current_world() -> World:
    """The world of the default process group; one process alone where none was initialised."""
    if not dist.is_available() or not dist.is_initialized():
        return World()
    return World(rank=dist.get_rank(), size=dist.get_world_size())
