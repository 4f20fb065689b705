"""``hrdet inspect-batch``."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_data, refuse_missing_file
from hrdet_cli.cli.options import (
    JsonOption,
    PresetOption,
    QuietOption,
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
    num_batches: Annotated[
        int | None,
        typer.Option(
            "--batches", min=1, metavar="N", help="How many batches to draw for each process; default 1."
        ),
    ] = None,
    epoch: Annotated[
        int | None,
        typer.Option("--epoch", min=1, metavar="N", help="Of which epoch, counted from 1; default 1."),
    ] = None,
    world_size: Annotated[
        int | None,
        typer.Option(
            "--world-size", min=1, metavar="N", help="Show what each of N processes would get; default 1."
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Draw as with this seed; short for --set run.seed=N."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the sheets and index.html.")
    ] = Path("runs/inspect-batch"),
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the padded batches that training gets and count what padding and scales do to pictures and boxes.

    Writes a sheet for each batch, one with the pictures at every scale, and index.html with all of it.
    """
    quieten(quiet)
    command = shlex.join(["hrdet", *sys.argv[1:]])
    if saved_batch is not None:
        about_spec = any((preset, spec_file, settings, train_data, val_data))
        if about_spec or any(number is not None for number in (num_batches, epoch, world_size, seed)):
            raise SpecError(["--batch draws a saved batch; it goes with --out and --json only"])
        refuse_missing_file(saved_batch, "name the batch that a stopped run saved")
        load_torch()
        from hrdet_cli.runs.inspect_batch.inspection import inspect_saved_batch

        inspection = inspect_saved_batch(saved_batch, out=out, command=command)
    else:
        loaded = load_from_options(
            preset=preset,
            spec_file=spec_file,
            settings=[*(settings or []), *([] if seed is None else [f"run.seed={seed}"])],
            train_data=train_data,
            val_data=val_data,
        )
        refuse_missing_data(loaded.spec.data, ("train",))
        load_torch()
        from hrdet_cli.runs.inspect_batch.inspection import inspect_training_batches

        inspection = inspect_training_batches(
            loaded.spec,
            num_batches=num_batches or 1,
            epoch=(epoch or 1) - 1,
            num_processes=world_size or 1,
            out=out,
            command=command,
        )
    print_notices(inspection.notices)
    if as_json:
        typer.echo(json.dumps(inspection.to_json(), indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.batches import draw_inspection

    stdout_console().print(draw_inspection(inspection))
