"""A log file for each rank: only the first rank has the terminal."""

import os
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
        started = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        log.write(f"--- {started} {' '.join(['hrdet', *sys.argv[1:]])}\n")
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
