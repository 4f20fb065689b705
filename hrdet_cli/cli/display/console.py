"""Consoles for people and for pipes."""

import sys
from typing import IO

from rich.console import Console

PIPE_WIDTH = 160


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table in a file or a pipe."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def file_console(file: IO[str]) -> Console:
    """A log file: plain lines."""
    return Console(file=file, highlight=False, markup=False, width=PIPE_WIDTH)
