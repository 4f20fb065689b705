"""A log file for each rank: only the first rank has the terminal."""

import io
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from hrdet_cli.errors import HrdetError, OutputError


@contextmanager
def rank_log(file: Path | None, *, is_first: bool) -> Iterator[IO[str] | None]:
    """Open a rank's log, which is added to.

    Args:
        file: Its folder is made when missing; None leaves everything on the terminal.
        is_first: The first rank keeps the terminal.  From here on, whatever another one prints, even a crash
            in native code, goes into its log.

    Yields:
        The file, for the first rank to write into; None for the others, whose stdout it is.

    Raises:
        OutputError: The file cannot be written.
    """
    if file is None:
        yield None
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        log = file.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise OutputError(f"{file}: the log cannot be written: {error.strerror}") from error
    with log:
        log.write(_heading())
        if not is_first:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                os.dup2(log.fileno(), stream.fileno())
        try:
            yield log if is_first else None
        except HrdetError as error:
            if is_first:
                log.write(f"error: {error}\n")
            raise
        except BaseException:
            if is_first:  # the others' stderr is the log already
                log.write(traceback.format_exc())
            raise


@contextmanager
def log_of_one(file: Path | None) -> Iterator[IO[str] | None]:
    """The log of a process of its own, which is added to; None logs nothing.

    It appears with the run folder it lies in, so that a run which cannot start leaves nothing behind.

    Raises:
        OutputError: The file cannot be written.
    """
    if file is None:
        yield None
        return
    with _LateFile(file) as log:
        log.write(_heading())
        try:
            yield log
        except HrdetError as error:
            log.write(f"error: {error}\n")
            raise
        except BaseException:
            log.write(traceback.format_exc())
            raise


class _LateFile(io.StringIO):
    """Keeps its text in memory until the folder above the file's own is there."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: IO[str] | None = None

    def write(self, text: str, /) -> int:
        if self._file is None and not self._path.parent.parent.is_dir():
            return super().write(text)
        try:
            if self._file is None:
                self._path.parent.mkdir(exist_ok=True)
                self._file = self._path.open("a", encoding="utf-8", buffering=1)
                self._file.write(self.getvalue())
            return self._file.write(text)
        except OSError as error:
            raise OutputError(f"{self._path}: the log cannot be written: {error.strerror}") from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        super().close()


def _heading() -> str:
    started = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
    return f"--- {started} {shlex.join(['hrdet', *sys.argv[1:]])}\n"
