"""Consoles for people and for pipes."""

import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, cast

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hrdet_cli.wording import shortened

PIPE_WIDTH = 160
_SHORTEST_NAME = 16
_SPACES_AT_END = re.compile(r" +(?=\n)")
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_COMMAND_AT_END = re.compile(r"(?<!^error)(?<!^note): (?=(?:hrdet|pip|git|make|ulimit) )")
"""Not a message that begins with a command's name."""


def stdout_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table in a file or a pipe."""
    return Console(highlight=False, markup=False) if sys.stdout.isatty() else file_console(sys.stdout)


def stderr_console() -> Console:
    """Standard error, for errors."""
    return Console(stderr=True, highlight=False, markup=False)


def quieten(quiet: bool) -> None:
    """Whether this command prints results and errors alone (``--quiet``)."""
    _quiet.set(quiet)


def is_quiet() -> bool:
    """Whether results and errors alone are printed."""
    return _quiet.get()


def progress_console() -> Console:
    """Standard error for progress and notes, which ``--quiet`` silences."""
    return Console(stderr=True, highlight=False, markup=False, quiet=is_quiet())


def print_notices(notices: Iterable[str]) -> None:
    """What the user should be told, on standard error; commands do it before their results."""
    console = progress_console()
    for notice in notices:
        print_line(console, Text(f"note: {notice}"))


def print_line(console: Console, line: Text) -> None:
    """Print a message: one line in a pipe or file, broken between words on a terminal.

    A command at its end, behind a colon, stays whole on a line of its own there, so that it can be pasted.
    """
    if not console.is_terminal or line.cell_len <= console.width:
        console.print(line, soft_wrap=True)
        return
    found = _COMMAND_AT_END.search(line.plain)
    if found is None:
        console.print(line)
        return
    prose, _, command = line.divide([found.start() + 1, found.end()])
    console.print(prose)
    console.print(command, soft_wrap=True)


def shown_path(path: str | Path) -> str:
    """A path as people see it: what lies below the current folder is named from there."""
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return str(path)


def file_console(file: IO[str]) -> Console:
    """A file or a pipe: plain lines without spaces at their ends, which Rich fills tables up with."""
    trimmed = cast("IO[str]", _TrimmedLines(file))
    return Console(file=trimmed, highlight=False, markup=False, width=PIPE_WIDTH)


class _TrimmedLines:
    """What Rich needs of a file; writes lines without the spaces at their ends.

    Attributes:
        encoding: The file's: what lines are drawn with depends on it.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.encoding = getattr(file, "encoding", None) or "utf-8"

    def write(self, text: str) -> None:
        """Write what one call prints."""
        self._file.write(_SPACES_AT_END.sub("", text))

    def flush(self) -> None:
        """As the file does."""
        self._file.flush()

    def isatty(self) -> bool:
        """As the file says."""
        return self._file.isatty()


def plain_table(*, show_header: bool = True) -> Table:
    """A table without lines, whose columns are two spaces apart."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=show_header)


class Name:
    """A name in a table, which loses its middle where the column is too narrow: names differ at their ends.

    Args:
        text: The whole name.
        most: Columns that it takes at most.
    """

    def __init__(self, text: str, *, most: int = 60) -> None:
        self._text = text
        self._most = most

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = min(cell_len(self._text), self._most)
        return Measurement(min(width, _SHORTEST_NAME), width).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = min(options.max_width, self._most)
        text, kept = self._text, room
        while cell_len(text) > room and kept > 3:  # a letter may be two columns wide
            text, kept = shortened(self._text, kept), kept - 1
        yield Text(text, no_wrap=True)
