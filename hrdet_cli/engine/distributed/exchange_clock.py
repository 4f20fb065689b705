"""How long this process waits for others in exchanges, part by part of a step."""

import time

import torch


class ExchangeClock:
    """Adds up the time of exchanges, while it is on.

    On a GPU, events before and behind each exchange tell what its stream waited; nothing waits for them here.

    Attributes:
        is_on: Whether it is; off it costs nothing.
    """

    def __init__(self) -> None:
        self.is_on = False
        self._part = ""
        self._seconds: dict[str, float] = {}
        self._spans: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def start(self) -> None:
        """Forget what was; it is on from the first part on."""
        self._seconds.clear()
        self._spans.clear()

    def enter(self, part: str) -> None:
        """What the exchanges that follow belong to."""
        self._part = part
        self.is_on = True

    def leave(self) -> None:
        """Those that follow belong to no part: turn it off, but keep what was added up."""
        self.is_on = False

    def begin(self) -> "float | torch.cuda.Event | None":
        """An exchange begins; what `end` is to be given."""
        if not self.is_on:
            return None
        return timed_event() if torch.cuda.is_initialized() else time.perf_counter()  # type: ignore[no-untyped-call]

    def end(self, begun: "float | torch.cuda.Event | None") -> None:
        """The exchange is over, or what is enqueued next comes behind it."""
        if isinstance(begun, float):
            self._seconds[self._part] = self._seconds.get(self._part, 0.0) + time.perf_counter() - begun
        elif begun is not None:
            self._spans.append((self._part, begun, timed_event()))

    def stop(self) -> dict[str, float]:
        """Turn it off; seconds by part.  On a GPU all exchanges of the parts must be done."""
        self.is_on = False
        for part, before, behind in self._spans:
            seconds = before.elapsed_time(behind) / 1000
            self._seconds[part] = self._seconds.get(part, 0.0) + seconds
        return dict(self._seconds)


def timed_event() -> "torch.cuda.Event":
    """An event at the end of what is enqueued now."""
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record()
    return event


EXCHANGES = ExchangeClock()
"""Of this process, as its process group is."""
