"""Consoles for people and for pipes."""

import sys

from rich.console import Console

PIPE_WIDTH = 160


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table in a file or a pipe."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
