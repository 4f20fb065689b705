"""Errors on the screen."""

from rich.console import Console
from rich.text import Text

from hrdet_cli.errors import HrdetError, SpecError


def print_error(error: HrdetError) -> None:
    """Write an error to stderr: all its problems, a line each."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    lines = error.problems if isinstance(error, SpecError) else str(error).splitlines()
    for line in lines:
        console.print(
            Text.assemble(("error: ", "bold red"), line) if line is lines[0] else Text(f"       {line}")
        )
