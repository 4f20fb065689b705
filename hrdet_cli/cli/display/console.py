"""Consoles for people and for pipes."""

import sys
from collections.abc import Iterable
from typing import IO

import typer
from rich.console import Console

PIPE_WIDTH = 160


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table in a file or a pipe."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def print_notices(notices: Iterable[str]) -> None:
    """What the user should be told, on standard error; commands do it before their results."""
    for notice in notices:
        typer.echo(f"note: {notice}", err=True)


def file_console(file: IO[str]) -> Console:
    """A log file: plain lines."""
    return Console(file=file, highlight=False, markup=False, width=PIPE_WIDTH)
