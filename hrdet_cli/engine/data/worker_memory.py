"""Memory of a worker process for the batches it hands to its parent, used again and again."""

import itertools
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
    """

    def __init__(self, num_blocks: int) -> None:
        self._blocks = [torch.empty(0, dtype=torch.uint8) for _ in range(num_blocks)]
        self._next = 0

    def take(self, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
        """The beginning of the next block, as uint8 of one shape after another; what is in it is anything.

        Raises:
            OutOfMemoryError: There is too little shared memory.
        """
        sizes = [math.prod(shape) for shape in shapes]
        if len(self._blocks[self._next]) < sum(sizes):
            self._blocks[self._next] = _new_shared(sum(sizes))
        block = self._blocks[self._next]
        self._next = (self._next + 1) % len(self._blocks)
        ends = itertools.accumulate(sizes)
        parts = zip(ends, sizes, shapes, strict=True)
        return tuple(block[end - size : end].view(shape) for end, size, shape in parts)


def _new_shared(size: int) -> Tensor:
    block = torch.empty(size, dtype=torch.uint8)
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
