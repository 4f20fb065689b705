"""Where the time of a training step goes on this process, by the device's own clock."""

import time
from typing import Literal, NamedTuple

import torch

from hrdet_cli.engine.distributed.exchange_clock import EXCHANGES, timed_event

Pass = Literal["forward", "backward", "exchange"]


class StepTimes(NamedTuple):
    """Seconds of a step.

    Attributes:
        data: Waiting for the batch.
        forward: Computing losses, what was waited for others not counted; likewise ``backward``.
        backward: Computing gradients.
        exchange: Waiting for others, and exchanging with them.
    """

    data: float
    forward: float
    backward: float
    exchange: float


class StepClock:
    """Tells what a step is made of; on a GPU by events, for which nothing waits.

    Args:
        device: Where steps are computed.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._is_on = False
        self._marks: list[tuple[Pass | None, float | torch.cuda.Event]] = []

    def start(self) -> None:
        """Measure the step that follows."""
        self._is_on = True
        self._marks.clear()
        EXCHANGES.start()

    def enter(self, kind: Pass) -> None:
        """Another pass begins."""
        if self._is_on:
            EXCHANGES.enter(kind)
            self._marks.append((kind, self._now()))

    def stop(self) -> None:
        """What follows belongs to no pass, is not timed, and need not be done when times are read."""
        if self._is_on:
            EXCHANGES.leave()
            self._marks.append((None, self._now()))

    def read(self, *, data_seconds: float) -> StepTimes:
        """The times of the step, whose passes must be done.

        Args:
            data_seconds: How long it waited for its batch.
        """
        self._is_on = False
        waited = EXCHANGES.stop()
        seconds = {"forward": 0.0, "backward": 0.0, "exchange": 0.0}
        for (kind, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            if kind is not None:
                seconds[kind] += _between(begin, end)
        return StepTimes(
            data=data_seconds,
            forward=max(0.0, seconds["forward"] - waited.get("forward", 0.0)),
            backward=max(0.0, seconds["backward"] - waited.get("backward", 0.0)),
            exchange=sum(waited.values()),
        )

    def _now(self) -> "float | torch.cuda.Event":
        return timed_event() if self._on_gpu else time.perf_counter()


def _between(begin: "float | torch.cuda.Event", end: "float | torch.cuda.Event") -> float:
    if isinstance(begin, float) and isinstance(end, float):
        return end - begin
    if isinstance(begin, float) or isinstance(end, float):
        raise TypeError("a step is timed by one clock")
    seconds: float = begin.elapsed_time(end) / 1000
    return seconds
