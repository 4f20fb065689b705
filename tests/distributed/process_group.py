"""The group of processes that a test spawned itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist


@contextmanager
def gloo_group(store: Path, *, rank: int, size: int) -> Iterator[None]:
    """Be one of the processes inside; leave them even when the work fails, so that its error is what is seen.

    Args:
        store: The file by which they find each other.
        rank: Of this process.
        size: Number of processes.
    """
    dist.init_process_group("gloo", init_method=store.as_uri(), rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()
