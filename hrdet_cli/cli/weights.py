"""``hrdet weights``: look at weights of any family, and make checkpoints of them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_detector
from hrdet_cli.cli.options import (
    ClassesOption,
    JsonOption,
    PresetOption,
    QuietOption,
    SetOption,
    SpecOption,
    load_from_options,
)
from hrdet_cli.cli.usage import HrdetCommand, HrdetGroup
from hrdet_cli.wording import command, counted

weights_app = typer.Typer(
    help="List published weights, look at weights of any family, make checkpoints of them.",
    cls=HrdetGroup,
    no_args_is_help=True,
)

WeightsArgument = Annotated[
    str,
    typer.Argument(
        metavar="WEIGHTS",
        help="A file, a run folder, a name of `hrdet weights list`, timm:NAME, hf:OWNER/NAME or an address.",
        show_default=False,
    ),
]


@weights_app.command("list", cls=HrdetCommand)
def list_weights(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only those that have all of these words, such as: htc w32")
    ] = None,
    with_addresses: Annotated[
        bool, typer.Option("--addresses", help="Show where each file is, and what its SHA-256 starts with.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List published weights: their names, what they are, their figures and what they load with."""
    from hrdet_cli.engine.weights.published.table import with_words

    found = with_words(words or [])
    if as_json:
        typer.echo(json.dumps([weights.to_json() for weights in found], indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.published_weights import draw_addresses, draw_published

    if with_addresses:
        stdout_console().print(draw_addresses(found), soft_wrap=True)
    else:
        stdout_console().print(draw_published(found))


@weights_app.command("inspect", cls=HrdetCommand)
def inspect(
    source: WeightsArgument,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what weights are, and how they fit a preset: the one given, or else the likely one."""
    quieten(quiet)
    from hrdet_cli.engine.weights.names import is_weights_name
    from hrdet_cli.engine.weights.presence import refuse_absent_weights
    from hrdet_cli.runs.run_folder import weights_of

    file = weights_of(source)
    if not is_weights_name(file):
        refuse_absent_weights(file, Path(file))
    spec = None
    if preset is not None or spec_file is not None or settings:
        spec = load_from_options(preset=preset, spec_file=spec_file, settings=settings).spec
    load_torch()
    from hrdet_cli.runs.weights.inspection import inspect_weights

    inspection = inspect_weights(source, spec)
    if as_json:
        typer.echo(json.dumps(inspection.to_json(), indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.weights import draw_inspection

    stdout_console().print(draw_inspection(inspection))


@weights_app.command("convert", cls=HrdetCommand)
def convert(
    source: WeightsArgument,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The checkpoint to write; it must not exist.")
    ],
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    classes: ClassesOption = None,
    loose: Annotated[
        bool, typer.Option("--loose", help="Leave out tensors that the preset has no place for.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Make a checkpoint of a detector's weights, for eval, predict, export and train --weights."""
    quieten(quiet)
    refuse_missing_detector(source, spec_file=spec_file, classes=classes)
    load_torch()
    from hrdet_cli.runs.weights.conversion import convert_weights

    more = ["model.strict_weights=false"] if loose else []
    done = convert_weights(
        source,
        preset=preset,
        spec_file=spec_file,
        settings=[*(settings or []), *more],
        classes=classes,
        out=out,
    )
    print_notices(done.notices)
    holds = f"{counted(done.num_tensors, 'tensor')}, {counted(len(done.class_names), 'class', 'classes')}"
    stdout_console().print(
        f"wrote {done.path}: {done.spec_name}, {holds}; "
        f"score it with: {command('hrdet', 'eval', done.path)} --val-data JSON IMAGES",
        soft_wrap=True,
    )
