"""Errors on the screen."""

from rich.text import Text

from hrdet_cli.cli.display.console import print_line, stderr_console
from hrdet_cli.errors import HrdetError, SpecError


def print_error(error: HrdetError) -> None:
    """Write an error to stderr: all its problems, a line each."""
    console = stderr_console()
    for row, line in enumerate(error_lines(error)):
        print_line(console, Text(f"       {line}") if row else Text.assemble(("error: ", "bold red"), line))


def error_lines(error: HrdetError) -> list[str]:
    """The lines of a message; characters that a terminal cannot show, or would obey, as their codes."""
    lines = error.problems if isinstance(error, SpecError) else str(error).splitlines()
    return ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines]
