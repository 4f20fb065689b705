"""``hrdet weights``: look at weights of any family, and make checkpoints of them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, stdout_console
from hrdet_cli.cli.options import (
    ClassesOption,
    JsonOption,
    PresetOption,
    SetOption,
    SpecOption,
    load_from_options,
)
from hrdet_cli.cli.usage import HrdetCommand, HrdetGroup
from hrdet_cli.wording import command, counted

weights_app = typer.Typer(
    help="Look at weights of any family, and make checkpoints of them.", cls=HrdetGroup, no_args_is_help=True
)

WeightsArgument = Annotated[
    str,
    typer.Argument(
        metavar="WEIGHTS",
        help="A file, a run folder, timm:NAME, torchvision:NAME, mmdet:NAME or an https address.",
        show_default=False,
    ),
]


@weights_app.command("inspect", cls=HrdetCommand)
def inspect(
    source: WeightsArgument,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what weights are, and how they fit a preset: the one given, or else the likely one."""
    from hrdet_cli.runs.weights.inspection import inspect_weights

    spec = None
    if preset is not None or spec_file is not None or settings:
        spec = load_from_options(preset=preset, spec_file=spec_file, settings=settings).spec
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
) -> None:
    """Make a checkpoint of a detector's weights, for eval, predict, export and train --weights."""
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
