"""``hrdet inspect-batch``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.options import (
    JsonOption,
    PresetOption,
    SetOption,
    SpecOption,
    TrainDataOption,
    ValDataOption,
    load_from_options,
)
from hrdet_cli.errors import SpecError


def inspect_batch(
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    saved_batch: Annotated[
        Path | None,
        typer.Option(
            "--batch", metavar="FILE", help="Draw a batch that a stopped run saved, instead of a spec's."
        ),
    ] = None,
    num_batches: Annotated[int, typer.Option("--batches", min=1, help="How many batches to draw.")] = 1,
    epoch: Annotated[int, typer.Option("--epoch", min=1, help="Of which epoch, counted from 1.")] = 1,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the pictures.")] = Path(
        "runs/inspect-batch"
    ),
    as_json: JsonOption = False,
) -> None:
    """Draw the padded batches that training gets: boxes, scales, padding and useful pixels."""
    from hrdet_cli.cli.display.batches import draw_batches
    from hrdet_cli.runs.inspect_batch import inspect_saved_batch, inspect_training_batches

    if saved_batch is not None:
        if any((preset, spec_file, settings, train_data, val_data)):
            raise SpecError(["--batch draws a saved batch; it goes with --out and --json only"])
        batches = [inspect_saved_batch(saved_batch, out=out)]
    else:
        loaded = load_from_options(
            preset=preset, spec_file=spec_file, settings=settings, train_data=train_data, val_data=val_data
        )
        batches = list(
            inspect_training_batches(loaded.spec, num_batches=num_batches, epoch=epoch - 1, out=out)
        )
    if as_json:
        typer.echo(json.dumps([batch.to_json() for batch in batches], indent=2, ensure_ascii=False))
        return
    stdout_console().print(draw_batches(batches))
