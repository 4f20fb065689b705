"""What the sums that are losses are divided by: counts over all processes, and over all parts of a batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.distributed.collectives import sum_over_processes
from hrdet_cli.engine.distributed.world import current_world


@dataclass(slots=True)
class _Place:
    """Where the denominators of the pass that is under way come from; None where each is its own batch's."""

    counts: "BatchCounts | None" = None


_PLACE = _Place()


def denominator(count: Tensor, *, what: str, least: float = 1.0) -> Tensor:
    """What a sum over this process's share of a batch is divided by.

    Gradients are averaged over the processes, so each divides by an equal part of the count of all: what
    comes out is the loss of one process that holds the whole batch.  The floor is that of the whole count.
    Were it that of a process's part, a batch with fewer things to count than processes would weigh too
    little.

    Args:
        count: Scalar, such as the number of drawn candidates, on this process; in the dtype of the sum.
        what: What is counted, for the watchdog.
        least: The count is taken to be at least this, so that a batch without anything divides by it.

    Returns:
        Scalar of that dtype without a gradient, equal on every process.
    """
    if _PLACE.counts is not None:
        return _PLACE.counts.take(count.detach(), least)
    total = sum_over_processes(count.detach(), what=what)
    return total.clamp(min=least) / current_world().size


class BatchCounts:
    """The counts of a batch that goes through the model in parts, one after the other.

    A loss is a sum over the whole batch divided by a count over the whole batch, which is not known before
    its last part was looked at.  So each part goes through the model twice: first it is counted, without a
    gradient, and when all are, its losses are divided by what was counted.  The losses of the parts then add
    up to the loss of the batch, and their gradients to its gradient.

    Typical use::

        counts = BatchCounts()
        for part in parts:
            with counts.of_a_part():
                model(part)
        counts.add_up()
        for part in parts:
            with counts.of_a_part():
                loss = model(part)

    A model asks for its denominators in the same order each time.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._floors: list[float] = []
        self._denominators: list[Tensor] = []
        self._num_taken = 0

    @contextmanager
    def of_a_part(self) -> Iterator[None]:
        """Inside, a part goes through the model: it is counted, or its losses are divided after `add_up`."""
        self._num_taken = 0
        _PLACE.counts = self
        try:
            yield
        finally:
            _PLACE.counts = None

    def add_up(self) -> None:
        """Add up the counts of all parts on all processes, in one message; all processes call it together."""
        if not self._sums:
            return
        totals = sum_over_processes(torch.stack(self._sums), what="counts of a batch in parts")
        self._denominators = [
            total.clamp(min=floor) / current_world().size
            for total, floor in zip(totals, self._floors, strict=True)
        ]

    def take(self, count: Tensor, floor: float) -> Tensor:
        """The next denominator of a part; see `denominator`."""
        place, self._num_taken = self._num_taken, self._num_taken + 1
        if self._denominators:
            return self._denominators[place].to(count.dtype)
        if place == len(self._sums):
            self._sums.append(torch.zeros_like(count, dtype=torch.float64))
            self._floors.append(floor)
        self._sums[place] = self._sums[place] + count
        return count.clamp(min=floor)
