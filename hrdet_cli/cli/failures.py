"""Errors on the screen."""

from rich.console import Console
from rich.text import Text

from hrdet_cli.errors import HrdetError, SpecError


def print_error(error: HrdetError) -> None:
    """Write an error to stderr: all its problems, a line each."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for row, line in enumerate(error_lines(error)):
        console.print(Text(f"       {line}") if row else Text.assemble(("error: ", "bold red"), line))


def error_lines(error: HrdetError) -> list[str]:
    """The lines of a message; characters that a terminal cannot show, or would obey, as their codes."""
    lines = error.problems if isinstance(error, SpecError) else str(error).splitlines()
    return ["".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines]
