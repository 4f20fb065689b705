"""Memory of a worker process for the batches it hands to its parent, used again and again."""

import math

import torch
from torch import Tensor


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

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """The next block, or the beginning of it, as uint8 of a shape; what is in it is anything."""
        size = math.prod(shape)
        if len(self._blocks[self._next]) < size:
            self._blocks[self._next] = _new_shared(size)
        block = self._blocks[self._next]
        self._next = (self._next + 1) % len(self._blocks)
        return block[:size].view(shape)


def _new_shared(size: int) -> Tensor:
    block = torch.empty(size, dtype=torch.uint8)
    block.share_memory_()  # type: ignore[no-untyped-call]
    return block
