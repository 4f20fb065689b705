"""What Typer makes of a command line, of which nothing is run."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from hrdet_cli.cli.app import app


def parameters_of(command: str, arguments: Sequence[str]) -> Mapping[str, Any]:
    """Values of a command's parameters by their names in its function, as it would get them.

    Args:
        command: Such as ``train``.
        arguments: What stands behind it.
    """
    group: Any = typer.main.get_command(app)  # typed without the commands that a group has
    with (
        group.make_context("hrdet", [command, *arguments]) as parent,
        group.get_command(parent, command).make_context(command, [*arguments], parent=parent) as context,
    ):
        return dict(context.params)
