"""Ctrl-C and a scheduler's signals ask a command to stop where it loses nothing."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from hrdet_cli.cli.leaving import end_at_once
from hrdet_cli.engine.distributed.stop_signals import stop_signals, stop_signals_handled

STOPPED_BY_CTRL_C = 130


def end_on_stop_signals() -> None:
    """Have signals that ask to stop end this process with 128 and their number where nothing heeds them.

    That is while libraries are imported, and when all is done and they are torn down.
    """
    for number in stop_signals():
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


class StopRequest:
    """Whether this process was asked to stop.

    Args:
        says: What happens next, for stderr; a second signal is obeyed at once then. None keeps quiet, where
            signals come from a launcher, which may repeat them.
    """

    def __init__(self, *, says: str | None) -> None:
        self._says = says
        self._signal: int | None = None
        self._process_id = os.getpid()
        self.is_urgent = False

    def is_asked(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, here or on another process; after another signal 128 and its number."""
        return STOPPED_BY_CTRL_C if self._signal is None else 128 + self._signal

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        if os.getpid() != self._process_id:  # a data worker, which its parent will end
            return
        is_repeated = self._signal is not None and self._says is not None
        self._signal = number
        if self.is_urgent:  # the interrupt was lost, in a destructor perhaps
            end_at_once(self.exit_code)
        if is_repeated:
            self.is_urgent = True
            raise KeyboardInterrupt
        if self._says is not None:
            try:
                sys.stderr.write(f"{self._says}\n")  # above a live bar, into which typer.echo would write
                sys.stderr.flush()
            except RuntimeError:  # the signal came in the middle of a write to the same stream
                os.write(2, f"{self._says}\n".encode())


@contextmanager
def stop_request(*, says: str | None) -> Iterator[StopRequest]:
    """A request that signals make while inside.

    Raises:
        typer.Exit: A second signal interrupted the work.  Whatever the interrupt was turned into on its way
            out, such as a file that could not be written, it is no other error.
    """
    request = StopRequest(says=says)
    with stop_signals_handled(request.ask):
        try:
            yield request
        except BaseException as error:
            if request.is_urgent:
                raise typer.Exit(request.exit_code) from error
            raise
