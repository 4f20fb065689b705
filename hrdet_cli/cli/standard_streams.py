"""Standard streams that are closed, full, or read by nobody any more: a command goes on without them.

A pipe whose reader has left, a full disk under a redirection or a terminal that was closed must not end hours
of work.  Nor may a descriptor that was closed from the start be given to a file or a socket: whatever is
printed later would go into it.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from hrdet_cli.errors import OutputError

_READER_LEFT = (errno.EPIPE, errno.EIO)
"""A pipe without a reader; a terminal that was closed."""


class _Descriptor(io.FileIO):
    """Writes to a descriptor until that fails, then nowhere.

    Attributes:
        lost: Why it failed.
        holds_result: What is written is what the command was called for.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None
        self.holds_result = True

    def write(self, data: Any, /) -> int:  # what a buffered writer hands over: anything that has bytes
        """Write some or all of the bytes; returns how many."""
        if self.lost is None:
            try:
                return super().write(data)
            except OSError as error:
                self.lost = error
        return memoryview(data).nbytes


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Inside, stdout and stderr never raise, and replace characters that they cannot show."""
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout = _lasting(sys.stdout, descriptor=1)
    sys.stderr = _lasting(sys.stderr, descriptor=2)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        sys.stdout, sys.stderr = before


def do_without_stdout() -> None:
    """Say that what is printed from here on only tells of work whose result is in files."""
    descriptor = _descriptor_of(sys.stdout)
    if descriptor is not None:
        descriptor.holds_result = False


def refuse_lost_result() -> None:
    """A result that was to be printed must be out; a reader who has left had enough of it.

    Raises:
        OutputError: It could not be written.
    """
    sys.stdout.flush()
    descriptor = _descriptor_of(sys.stdout)
    if descriptor is None or descriptor.lost is None or not descriptor.holds_result:
        return
    if descriptor.lost.errno not in _READER_LEFT:
        raise OutputError(
            f"standard output could not be written ({descriptor.lost.strerror}), so the result is not whole; "
            "print it to another place"
        )


def _open_closed_descriptors() -> None:
    """Let descriptors 0, 1 and 2 lead nowhere where they are closed; for the processes to be started, too."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number: this one


def _lasting(stream: TextIO | None, *, descriptor: int) -> TextIO:
    """The same stream on a `_Descriptor`; one that is kept in memory, as in tests, stays as it is."""
    if stream is None:  # Python found it closed
        return io.TextIOWrapper(io.BufferedWriter(_Descriptor(descriptor)), "utf-8", "replace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        number = stream.fileno()
    except OSError:
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Descriptor(number)),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _descriptor_of(stream: TextIO) -> _Descriptor | None:
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return raw if isinstance(raw, _Descriptor) else None
