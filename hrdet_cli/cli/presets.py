"""``hrdet presets``: list, show and copy the presets."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.display.named_rows import NamedRows
from hrdet_cli.cli.options import JsonOption, complete_preset
from hrdet_cli.cli.usage import HrdetCommand, HrdetGroup
from hrdet_cli.errors import OutputError
from hrdet_cli.wording import command

if TYPE_CHECKING:
    from hrdet_cli.specs.experiment import ExperimentSpec
    from hrdet_cli.specs.presets import Preset

presets_app = typer.Typer(help="List, show and copy the presets.", cls=HrdetGroup, no_args_is_help=True)


@presets_app.command("list", cls=HrdetCommand)
def list_presets(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only those that have all of these words, such as: mask w32")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List every preset with what it is, and the weights it starts from as --weights fetches them."""
    from hrdet_cli.specs.loading import load_spec
    from hrdet_cli.specs.presets import all_presets, with_words

    presets = all_presets()
    specs = {name: load_spec(preset=name).spec for name in presets}
    names = with_words({name: spec.description for name, spec in specs.items()}, words or [])
    if as_json:
        import json

        typer.echo(json.dumps({name: specs[name].description for name in names}, indent=2))
        return
    stdout_console().print(_tables({name: presets[name] for name in names}, specs))


def _tables(presets: Mapping[str, "Preset"], specs: Mapping[str, "ExperimentSpec"]) -> RenderableType:
    """A table for each kind of presets, with columns as wide as those of the others."""
    from hrdet_cli.specs.presets import by_title

    parts: list[RenderableType] = []
    for title, names in by_title(presets).items():
        rows = [(name, specs[name].description, _weights_of(specs[name])) for name in names]
        named = NamedRows(("preset", "what it is", "--weights"), rows, name_width=max(map(len, presets)))
        parts += [*([Text()] if parts else []), Text(title, style="bold"), named]
    return Group(*parts)


def _weights_of(spec: "ExperimentSpec") -> str:
    """What ``--weights`` takes to fetch those that a spec starts from."""
    from hrdet_cli.engine.weights.published.table import published_as

    weights = spec.model.weights
    if weights is None:
        return "random"
    published = published_as(weights)
    return weights if published is None or published.name is None else published.name


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
