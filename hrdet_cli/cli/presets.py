"""``hrdet presets``: list, show and copy the presets."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.options import JsonOption, complete_preset
from hrdet_cli.cli.usage import HrdetCommand, HrdetGroup
from hrdet_cli.errors import OutputError
from hrdet_cli.wording import command

presets_app = typer.Typer(help="List, show and copy the presets.", cls=HrdetGroup, no_args_is_help=True)


@presets_app.command("list", cls=HrdetCommand)
def list_presets(as_json: JsonOption = False) -> None:
    """List every preset with what it is, and the weights it starts from as --weights fetches them."""
    from hrdet_cli.engine.weights.origins import origin_of
    from hrdet_cli.specs.loading import load_spec
    from hrdet_cli.specs.presets import all_presets

    specs = {name: load_spec(preset=name).spec for name in all_presets()}
    if as_json:
        import json

        typer.echo(json.dumps({name: spec.description for name, spec in specs.items()}, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("preset", style="bold cyan", no_wrap=True)
    table.add_column("what it is")
    table.add_column("--weights", overflow="fold")
    for name, spec in specs.items():
        weights = spec.model.weights
        origin = origin_of(weights) if weights is not None else None
        is_address = origin is not None and origin.name == origin.page
        name_or_file = "the address in its header" if is_address else origin.name if origin else weights
        table.add_row(name, spec.description, name_or_file or "random")
    stdout_console().print(table)


@presets_app.command("show", cls=HrdetCommand)
def show_preset(
    name: Annotated[str, typer.Argument(help="Name of a preset.", autocompletion=complete_preset)],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="With its bases and all defaults filled in.")
    ] = False,
) -> None:
    """Print a preset file as it is, or resolved."""
    from hrdet_cli.specs.loading import format_spec, load_spec
    from hrdet_cli.specs.presets import find_preset

    typer.echo(format_spec(load_spec(preset=name).spec) if resolved else find_preset(name).read(), nl=False)


@presets_app.command("copy", cls=HrdetCommand)
def copy_preset(
    name: Annotated[str, typer.Argument(help="Name of a preset.")],
    to: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
) -> None:
    """Copy a preset to a file of your own, to change and use with --spec."""
    from hrdet_cli.specs.presets import find_preset

    text = find_preset(name).read()
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise OutputError(f"{to}: cannot write the preset there: {error.strerror}") from error
    typer.echo(f"wrote {to}; use it with: {command('hrdet', 'train', '--spec', to)}")
