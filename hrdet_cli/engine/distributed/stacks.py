"""Python stacks of all threads of this process, written on a signal and when a hang is noticed.

They are written from C, without the interpreter: a process that is stuck in an extension writes them too.
"""

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

SIGNAL: signal.Signals | None = getattr(signal, "SIGQUIT", None)
"""What has stacks written, as a Java program's does; None outside Unix.  Those that schedulers send to end a
process, SIGUSR1 and SIGUSR2 among them, ask a run to stop."""


class Stacks:
    """Where this process's stacks go.

    Attributes:
        file: Its own file; None while there is none.
    """

    def __init__(self) -> None:
        self.file: Path | None = None
        self._open: IO[bytes] | None = None

    @contextmanager
    def kept_in(self, file: Path) -> Iterator[None]:
        """Inside, stacks are added to a file; one in which nothing was written is removed at the end.

        Processes that are forked inside write theirs there, too.  Where the file cannot be opened, nothing is
        written anywhere: it is no reason to end a run.

        Args:
            file: Its folder is made when missing.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            opened = file.open("ab", buffering=0)
        except OSError:
            yield
            return
        with opened:
            self.file, self._open = file, opened
            if SIGNAL is not None:
                faulthandler.register(SIGNAL, opened, all_threads=True)
            try:
                yield
            finally:
                if SIGNAL is not None:
                    faulthandler.unregister(SIGNAL)
                self.file = self._open = None
        with suppress(OSError):
            if file.stat().st_size == 0:
                file.unlink()

    def write(self) -> None:
        """Add the stacks of all threads, as they are now."""
        if self._open is not None:
            faulthandler.dump_traceback(self._open, all_threads=True)


STACKS = Stacks()
"""Of this process."""
