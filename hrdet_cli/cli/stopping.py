"""Ctrl-C and SIGTERM ask a command to stop where it loses nothing."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

STOPPED_BY_CTRL_C = 130


class StopRequest:
    """Whether this process was asked to stop.

    Args:
        says: What happens next, for stderr; a second Ctrl-C is obeyed at once then. None keeps quiet, where
            signals come from a launcher, which may repeat them.
    """

    def __init__(self, *, says: str | None) -> None:
        self._says = says
        self._signal: int | None = None

    def is_asked(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, here or on another process; 143 after SIGTERM."""
        return STOPPED_BY_CTRL_C if self._signal is None else 128 + self._signal

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """Signal handler."""
        if self._signal is not None and self._says is not None:
            raise KeyboardInterrupt
        self._signal = number
        if self._says is not None:
            typer.echo(self._says, err=True)


@contextmanager
def stop_request(*, says: str | None) -> Iterator[StopRequest]:
    """A request that SIGINT and SIGTERM make while inside."""
    request = StopRequest(says=says)
    before = {number: signal.signal(number, request.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
