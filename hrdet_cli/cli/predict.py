"""``hrdet predict``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_detector
from hrdet_cli.cli.options import (
    ClassesOption,
    EmaOption,
    JsonOption,
    PresetOption,
    QuietOption,
    SetOption,
    SourceArgument,
    SpecOption,
)
from hrdet_cli.cli.stopping import stop_request
from hrdet_cli.errors import DataError
from hrdet_cli.runs.predict.defaults import MIN_SCORE


def predict(
    source: SourceArgument,
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICTURES...",
            help="Pictures, folders with pictures (and their subfolders), .zip archives.",
            readable=False,  # our own errors say more
        ),
    ],
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    classes: ClassesOption = None,
    use_ema: EmaOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default beside the weights."),
    ] = None,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0, max=1, help="Leave out detections with a lower score.")
    ] = MIN_SCORE,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, metavar="N", help="Pictures at once; default evaluation.batch_size."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find objects in pictures: drawn pictures, detections.json in COCO's format, and a table.

    Pictures that cannot be read are named and stop nothing. Exit codes: 0 at least one picture was read, 3
    none was, 2 usage, 4 weights, 5 DIR cannot be written, 9 out of memory, 130 Ctrl-C (what is done is kept).
    """
    quieten(quiet)
    from hrdet_cli.runs.predict.inputs import refuse_missing_pictures

    refuse_missing_detector(source, use_ema=use_ema, spec_file=spec_file, classes=classes)
    for picture in pictures:
        refuse_missing_pictures(picture)
    load_torch()
    from hrdet_cli.cli.display.predict import print_prediction
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.runs.predict.prediction import predict_pictures
    from hrdet_cli.runs.trained_detector.reading import read_trained_detector

    with stop_request(says="stopping after this batch; what is done is kept") as stop:
        trained = read_trained_detector(
            source,
            preset=preset,
            spec_file=spec_file,
            use_ema=use_ema,
            settings=settings or [],
            classes=classes,
        )
        work = predict_pictures(
            trained,
            pictures,
            out=out,
            min_score=min_score,
            batch_size=batch_size,
            stop_asked=stop.is_asked,
        )
        prediction = drive_work(work)
    print_notices(prediction.notices)
    if as_json:
        typer.echo(json.dumps(prediction.document, indent=2, ensure_ascii=False))
    else:
        print_prediction(prediction, stdout_console())
    if prediction.num_not_done:
        raise typer.Exit(stop.exit_code)
    if not prediction.pictures:
        raise typer.Exit(DataError.exit_code)
