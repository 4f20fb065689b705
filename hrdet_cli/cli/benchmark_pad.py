"""``hrdet benchmark-pad``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_data
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


def benchmark_pad(
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    policies: Annotated[
        str,
        typer.Option(
            "--policies",
            metavar="NAMES",
            help="Which to compare, of fixed, canvases and batch; the spec's own is always measured too.",
        ),
    ] = "fixed,canvases,batch",
    repetitions: Annotated[
        int, typer.Option("--repetitions", metavar="N", min=1, help="How often to measure each.")
    ] = 5,
    world_size: Annotated[
        int | None,
        typer.Option(
            "--world-size",
            metavar="N",
            min=1,
            help="Processes to count an epoch for; default one for each GPU here. No other is started.",
        ),
    ] = None,
    data_only: Annotated[bool, typer.Option("--data-only", help="Leave out the training steps.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Draw the comparison into DIR/padding.png, and write it into DIR/padding.json, by which "
            "`hrdet train --dry-run` tells a run's time; without it nothing is drawn or written.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure what padding policies cost on your pictures and device, and say which to take."""
    quieten(quiet)
    loaded = load_from_options(
        preset=preset, spec_file=spec_file, settings=settings, train_data=train_data, val_data=val_data
    )
    refuse_missing_data(loaded.spec.data, ("train",))
    load_torch()
    from hrdet_cli.cli.display.padding import draw_comparison
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.runs.benchmark_pad.measurement import compare_policies
    from hrdet_cli.runs.benchmark_pad.picture import save_comparison
    from hrdet_cli.runs.output_files import refuse_unwritable_folder, write_json
    from hrdet_cli.runs.run_time.compared_paddings import COMPARISON_FILE

    if out is not None:
        refuse_unwritable_folder(out, option="--out")
    comparison = drive_work(
        compare_policies(
            loaded.spec,
            [name.strip() for name in policies.split(",") if name.strip()],
            num_processes=world_size,
            num_repetitions=repetitions,
            with_training=not data_only,
        )
    )
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2))
    else:
        stdout_console().print(draw_comparison(comparison))
    if out is not None:
        typer.echo(save_comparison(comparison, out / "padding.png"), err=as_json)
        write_json(out / COMPARISON_FILE, comparison.to_json())
        typer.echo(out / COMPARISON_FILE, err=as_json)
