"""How long the live group takes to exchange messages of several sizes."""

import time
from dataclasses import dataclass
from statistics import median

import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.distributed.activity import collective
from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.world import current_world

MESSAGE_BYTES = (4 * 2**10, 64 * 2**10, 2**20)
"""The first is about a synchronised norm's message: pure latency."""
GRADIENT_BYTES = {"cuda": 100 * 2**20, "cpu": 16 * 2**20}
"""About all gradients, which are 110 MB for W18; less on CPUs, whose networks are slower."""

NUM_WARMUPS = 2
BUDGET_SECONDS = 0.5
"""For one size: slow networks get fewer repetitions, between these two."""
MIN_REPETITIONS, MAX_REPETITIONS = 3, 50


@dataclass(frozen=True, slots=True)
class CollectiveTiming:
    """An all-reduce of one size, as the slowest process saw it.

    Attributes:
        num_bytes: Size of each process's message.
        median_seconds: From the call to the sum being there, the median of the repetitions.
        num_repetitions: How many were timed, after the warm-up.
    """

    num_bytes: int
    median_seconds: float
    num_repetitions: int

    @property
    def gigabytes_per_second(self) -> float:
        """Algorithm bandwidth: message size by time, in 10^9 bytes a second.

        What goes over each process's wire is 2 (n - 1) / n times as much among n processes; NCCL's tests call
        that the bus bandwidth.
        """
        return self.num_bytes / self.median_seconds / 1e9


def measure_collectives(device: torch.device) -> tuple[CollectiveTiming, ...]:
    """Time all-reduces of a few message sizes; every process must call it, and all get the same result.

    Takes about two seconds, and longer where a single large message takes longer than 0.1 s.

    Args:
        device: Of this process; decides which back end carries the messages.

    Returns:
        By increasing size; nothing in one process, which has nobody to talk to.

    Raises:
        LostProcessError: A process is gone.
    """
    if current_world().size == 1:
        return ()
    sizes = (*MESSAGE_BYTES, GRADIENT_BYTES[device.type])
    return tuple(_time_all_reduce(num_bytes, device) for num_bytes in sizes)


def _time_all_reduce(num_bytes: int, device: torch.device) -> CollectiveTiming:
    message = torch.zeros(num_bytes // 4, dtype=torch.float32, device=device)
    warmups = [_seconds_of_one(message) for _ in range(NUM_WARMUPS)]
    # All processes must make the same number: they agree on the slowest one's last warm-up.
    slowest = max(gather_everywhere(warmups[-1], what="timing of the warm-up"))
    count = min(max(int(BUDGET_SECONDS / slowest), MIN_REPETITIONS), MAX_REPETITIONS)
    seconds = median(_seconds_of_one(message) for _ in range(count))
    return CollectiveTiming(
        num_bytes=num_bytes,
        median_seconds=max(gather_everywhere(seconds, what="timing of a collective")),
        num_repetitions=count,
    )


def _seconds_of_one(message: Tensor) -> float:
    _wait_for_device(message.device)
    started = time.perf_counter()
    with collective(f"all-reduce of {message.nbytes} bytes for timing"):
        dist.all_reduce(message)
    _wait_for_device(message.device)
    return time.perf_counter() - started


def _wait_for_device(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
