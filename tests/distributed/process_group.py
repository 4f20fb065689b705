"""Processes that a test starts itself, and the group that they form."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from tests.forked import preloaded_context


def run_processes(work: Callable[..., None], *args: Any, size: int) -> None:
    """Let so many processes do ``work(rank, *args)``, and wait for them.

    They are forked from one process that has imported torch and hrdet once for all tests.

    Args:
        work: A function of a module that can be imported.
        args: Can be pickled.
        size: Number of processes.

    Raises:
        ProcessRaisedException: One of them failed.
    """
    preloaded_context()
    start_processes(work, args, size, start_method="forkserver")  # type: ignore[no-untyped-call]


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
