"""Memory for the batches that a worker process hands to its parent, used again and again."""

import math
import os

import torch
from torch import Tensor

from hrdet_cli.errors import OutOfMemoryError

_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - its size is asked for


class WorkerMemory:
    """A ring of blocks that both processes see.

    A new block for each batch would cost a third of a worker's time: the kernel clears it and hands it out in
    pages of 4 kB. A block is used again when all others of the ring were; the parent has to be done with it
    by then.

    Args:
        num_blocks: One more than the batches that are asked of a worker in advance: it may be making the last
            of these while the parent copies the batch before the first.
        is_shared: Whether there is a parent to hand blocks to.
    """

    def __init__(self, num_blocks: int, *, is_shared: bool = True) -> None:
        self._blocks = [torch.empty(0, dtype=torch.uint8) for _ in range(num_blocks)]
        self._next = 0
        self._is_shared = is_shared

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """The beginning of the next block, as uint8 of a shape; what is in it is anything.

        Raises:
            OutOfMemoryError: There is too little shared memory.
        """
        size = math.prod(shape)
        if len(self._blocks[self._next]) < size:
            self._blocks[self._next] = _new_block(size, is_shared=self._is_shared)
        block = self._blocks[self._next]
        self._next = (self._next + 1) % len(self._blocks)
        return block[:size].view(shape)


def _new_block(size: int, *, is_shared: bool) -> Tensor:
    block = torch.empty(size, dtype=torch.uint8)
    if not is_shared:
        return block
    try:
        block.share_memory_()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise lack_of_shared_memory() from error
    return block


def require_shared_memory(num_bytes: int) -> None:
    """There must be so much shared memory.

    Raises:
        OutOfMemoryError: There is less.
    """
    disk = _shared_memory()
    if disk is not None and disk.f_frsize * disk.f_bavail < num_bytes:
        raise lack_of_shared_memory()


def lack_of_shared_memory() -> OutOfMemoryError:
    """The error of a worker that finds no room for a batch."""
    disk = _shared_memory()
    room = ""
    if disk is not None:
        free, size = (disk.f_frsize * blocks / 1e6 for blocks in (disk.f_bavail, disk.f_blocks))
        room = f" ({free:.1f} MB of {size:.1f} MB are free)"
    return OutOfMemoryError(
        f"{_SHARED_MEMORY} is too small for the batches of the data workers{room}: give it more, as with "
        "docker run --shm-size=8g, or let each process make its own batches with --set data.num_workers=0"
    )


def _shared_memory() -> os.statvfs_result | None:
    """The file system that shared memory lies in; None where it is not a file system."""
    try:
        return os.statvfs(_SHARED_MEMORY)
    except OSError:
        return None
