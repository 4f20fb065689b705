"""``hrdet eval``."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.options import JsonOption, SetOption, ValDataOption, data_layers


def evaluate(
    source: Annotated[
        Path,
        typer.Argument(
            readable=False,
            metavar="RUN_OR_CHECKPOINT",
            help="A run folder (its best checkpoint) or a checkpoint.",
        ),
    ],
    val_data: ValDataOption = None,
    settings: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default beside the checkpoint."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score a trained detector: COCO's 12 numbers, per-class AP, detections and pictures."""
    from hrdet_cli.cli.display.evaluation import draw_report
    from hrdet_cli.cli.display.progress import drive_evaluation
    from hrdet_cli.runs.evaluate import evaluate_checkpoint

    events = evaluate_checkpoint(
        source, out=out, extra_layers=data_layers(train=None, val=val_data), settings=settings or []
    )
    report = drive_evaluation(events, Console(stderr=True, highlight=False, markup=False))
    if as_json:
        typer.echo(json.dumps(report.metrics.to_json(), indent=2, ensure_ascii=False))
        return
    console = stdout_console()
    console.print(draw_report(report))
    if report.unknown_classes:
        names = ", ".join(report.unknown_classes)
        console.print(f"unknown to the detector, counted as 0: {names}", style="yellow", soft_wrap=True)
    for path in report.files:
        console.print(str(path), style="dim", soft_wrap=True)
