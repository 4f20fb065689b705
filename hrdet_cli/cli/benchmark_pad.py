"""``hrdet benchmark-pad``."""

import json
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


def benchmark_pad(
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    num_batches: Annotated[int, typer.Option("--batches", min=1, help="Batches timed for each policy.")] = 8,
    data_only: Annotated[bool, typer.Option("--data-only", help="Leave out the training steps.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure what padding to one canvas costs against padding each batch by itself."""
    from hrdet_cli.cli.display.padding import draw_comparison
    from hrdet_cli.runs.benchmark_pad import compare_padding

    loaded = load_from_options(
        preset=preset, spec_file=spec_file, settings=settings, train_data=train_data, val_data=val_data
    )
    comparison = compare_padding(loaded.spec, num_batches=num_batches, with_training=not data_only)
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2))
        return
    stdout_console().print(draw_comparison(comparison))
