"""Ctrl-C and a scheduler's signals in a script that trains."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hrdet_cli.engine.distributed.stop_signals import stop_signals_handled


class StopSignal:
    """The signal that asked a run to stop; None where none came."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._process_id = os.getpid()

    def came(self) -> bool:
        """Whether there was one."""
        return self.number is not None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler; a second signal is obeyed at once."""
        if os.getpid() != self._process_id:  # a data worker, which its parent will end
            return
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number


@contextmanager
def signals_postponed() -> Iterator[StopSignal]:
    """Inside, a signal that asks to stop is only noted.  Afterwards it does what it would have done at once.

    Ctrl-C so becomes a ``KeyboardInterrupt`` at the end of the block, and SIGTERM what the script has for it,
    or the end of the process.  Outside of the main thread, which alone gets signals, nothing is changed.
    """
    noted = StopSignal()
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    with stop_signals_handled(noted.note):
        yield noted
    if noted.number is not None:
        signal.raise_signal(noted.number)
