"""Processes that are slower than the others, for which all others wait."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.training.step_clock import StepClock, StepTimes

EVERY_STEPS = 5
"""So often a step is timed, and the next one tells the others."""
NUM_KEPT = 8
"""Timed steps that are looked at."""
NUM_SLOW, NUM_FAST = 6, 2
"""Of them, in which a process is slower: at least so many make a straggler, and at most so many end that."""
LEAST_SHARE = 0.1
"""Of a step's time, which all lose through a straggler."""

_NAMES = {"data": "waiting for data", "forward": "the forward pass", "backward": "the backward pass"} | {
    "exchange": "the exchange with others"
}


@dataclass(frozen=True, slots=True)
class Straggler:
    """A process that is slower than the others, or is no longer.

    Attributes:
        rank: The process.
        is_over: It is as fast as the others again.
        part: What takes it longer, a field of `StepTimes`.
        seconds: That it takes in a step, the median of the last timed ones.
        others_seconds: What the others take.
        since_step: The first timed step of these in which it was slower, or was no longer.
    """

    rank: int
    is_over: bool
    part: str
    seconds: float
    others_seconds: float
    since_step: int

    def describe(self, hosts: Sequence[str]) -> str:
        """In words.

        Args:
            hosts: Name of each process's node, by rank.
        """
        name = f"rank {self.rank} ({hosts[self.rank]})"
        if self.is_over:
            return f"{name} is as fast as the others again, since step {self.since_step}"
        return (
            f"{name} is slower than the others since step {self.since_step}, and all wait for it: "
            f"{_NAMES[self.part]} takes {self.seconds:.2f} s a step there and {self.others_seconds:.2f} s "
            "elsewhere"
        )


class StragglerWatch:
    """Has every few steps timed on all processes, and compares them.

    The times travel with the losses of the next step, each process's in a place of its own: nothing is sent
    for them alone, and nothing waits for a GPU.

    Args:
        world: This process, and how many there are; one alone is not watched.
        clock: Of this process.
    """

    def __init__(self, world: World, clock: StepClock) -> None:
        self._world = world
        self._clock = clock
        self._is_timed = False
        self._times: StepTimes | None = None
        self._step = 0
        self._comparison = Comparison(world.size)

    def begin_step(self, step: int) -> None:
        """A step begins, counted from 1 over the whole run."""
        self._is_timed = self._world.size > 1 and step % EVERY_STEPS == 0
        if self._is_timed:
            self._step = step
            self._clock.start()

    def message(self, like: Tensor) -> tuple[Tensor, ...]:
        """What this process has to tell with its losses: nothing, or a vector that is to be averaged.

        Args:
            like: Has the dtype and the device of the message.
        """
        if self._times is None:
            return ()
        told = like.new_zeros(self._world.size * len(self._times))
        for place, seconds in enumerate(self._times, start=self._world.rank * len(self._times)):
            told[place].fill_(seconds)  # on the device: a copy would wait
        self._times = None
        return (told,)

    def take(self, means: Sequence[float]) -> tuple[Straggler, ...]:
        """What is new, by what all processes told.

        Args:
            means: What became of the messages; empty where there was none.
        """
        if not means:
            return ()
        width = len(StepTimes._fields)
        table = [
            StepTimes(*(self._world.size * mean for mean in means[start : start + width]))
            for start in range(0, len(means), width)
        ]
        return self._comparison.add(self._step, table)

    def end_step(self, *, data_seconds: float) -> None:
        """The step is over, and the device has done all of it.

        Args:
            data_seconds: How long it waited for its batch.
        """
        if self._is_timed:
            self._times = self._clock.read(data_seconds=data_seconds)
            self._is_timed = False


class Comparison:
    """The last timed steps of all processes.

    Args:
        size: Number of processes; at least 2 to compare any.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._steps: deque[tuple[int, Sequence[StepTimes]]] = deque(maxlen=NUM_KEPT)
        self._known: set[int] = set()

    def add(self, step: int, table: Sequence[StepTimes]) -> tuple[Straggler, ...]:
        """Stragglers that are new with a step, and those that are none any more.

        Args:
            step: Its number.
            table: Times by rank.
        """
        self._steps.append((step, table))
        if len(self._steps) < NUM_KEPT:
            return ()
        return tuple(found for rank in range(self._size) if (found := self._look_at(rank)) is not None)

    def _look_at(self, rank: int) -> Straggler | None:
        losses = [_loss(table, rank) for _, table in self._steps]
        is_slow = [loss.share >= LEAST_SHARE for loss in losses]
        if rank not in self._known and sum(is_slow) >= NUM_SLOW:
            self._known.add(rank)
            parts = [loss.part for loss, slow in zip(losses, is_slow, strict=True) if slow]
            part = max(set(parts), key=parts.count)
            return self._straggler(rank, part, since=is_slow.index(True), is_over=False)
        if rank in self._known and sum(is_slow) <= NUM_FAST:
            self._known.remove(rank)
            return self._straggler(rank, "data", since=is_slow.index(False), is_over=True)
        return None

    def _straggler(self, rank: int, part: str, *, since: int, is_over: bool) -> Straggler:
        own = [getattr(table[rank], part) for _, table in self._steps]
        others = [median(_others(table, rank, part)) for _, table in self._steps]
        return Straggler(rank, is_over, part, median(own), median(others), self._steps[since][0])


@dataclass(frozen=True, slots=True)
class _Loss:
    """What all lose through a process in a step.

    Attributes:
        part: In which it loses most.
        share: Of the step's time.
    """

    part: str
    share: float


def _loss(table: Sequence[StepTimes], rank: int) -> _Loss:
    """A process that computes less waits more in exchanges: that is no loss, and is taken off."""
    excess = {
        part: getattr(table[rank], part) - median(_others(table, rank, part)) for part in StepTimes._fields
    }
    idle = -sum(excess[part] for part in ("data", "forward", "backward"))
    excess["exchange"] -= max(0.0, idle)
    part = max(excess, key=lambda name: excess[name])
    seconds = median(sum(times) for times in table)
    return _Loss(part, excess[part] / seconds if seconds > 0 else 0.0)


def _others(table: Sequence[StepTimes], rank: int, part: str) -> list[float]:
    return [getattr(times, part) for other, times in enumerate(table) if other != rank]
