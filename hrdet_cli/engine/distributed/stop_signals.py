"""Signals that ask a run to stop: by Ctrl-C, a scheduler, or a terminal that is closed."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

_ALWAYS = (signal.SIGINT, signal.SIGTERM)
_UNLESS_IGNORED = ("SIGHUP", "SIGUSR1", "SIGUSR2")
"""Of Unix only: a terminal that goes, and what Slurm and others send some time before they end a job."""


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals to heed.  Not one that whoever started this process has had ignored, as nohup does."""
    others = [signal.Signals[name] for name in _UNLESS_IGNORED if hasattr(signal, name)]
    return (*_ALWAYS, *(number for number in others if signal.getsignal(number) != signal.SIG_IGN))


@contextmanager
def stop_signals_handled(handler: Handler) -> Iterator[None]:
    """Have a function called for each signal that asks to stop, while inside; in the main thread."""
    before = {number: signal.signal(number, handler) for number in stop_signals()}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
