"""Which process this is, among how many."""

import torch.distributed as dist

from hrdet_cli.engine.distributed.ranks import World

__all__ = ["World", "current_world"]


def current_world() -> World:
    """The world of the default process group; one process alone where none was initialised."""
    if not dist.is_available() or not dist.is_initialized():
        return World()
    return World(rank=dist.get_rank(), size=dist.get_world_size())
