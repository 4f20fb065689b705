"""``hrdet export``."""

import json
from enum import StrEnum
from functools import partial
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


class ExportFormat(StrEnum):
    """What ``--to`` may be."""

    STATE_DICT = "state-dict"
    MMDETECTION = "mmdetection"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    HUB_FOLDER = "hub-folder"


def export(
    source: SourceArgument,
    to: Annotated[
        ExportFormat,
        typer.Option(
            "--to",
            help="state-dict: torch, our names; mmdetection: torch, its names; safetensors; onnx: with NMS; "
            "hub-folder: safetensors, spec, metrics and a model card.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", readable=False, help="The file, or the folder, to write.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
    check_picture: Annotated[
        Path | None,
        typer.Option(
            "--check-picture",
            metavar="PICTURE",
            readable=False,
            help="Compare the ONNX model with the detector on this picture, at three sizes; "
            "default three drawn ones.",
        ),
    ] = None,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    classes: ClassesOption = None,
    use_ema: EmaOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a trained detector in the format of another program.

    An ONNX model is compared with the detector before it is written; exit code 1 if they find other things.
    """
    quieten(quiet)
    from hrdet_cli.runs.export.target import refuse_impossible

    refuse_impossible(to.value, out, overwrite=overwrite, check_picture=check_picture)
    refuse_missing_detector(source, use_ema=use_ema, spec_file=spec_file, classes=classes)
    load_torch()
    from hrdet_cli.cli.display.export import print_export
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.runs.export.export import export_detector
    from hrdet_cli.runs.trained_detector.reading import read_trained_detector

    read = partial(
        read_trained_detector,
        source,
        preset=preset,
        spec_file=spec_file,
        use_ema=use_ema,
        settings=settings or [],
        classes=classes,
    )
    work = export_detector(read, to=to.value, out=out, check_picture=check_picture)
    report = drive_work(work)
    print_notices(report.notices)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
        return
    print_export(report, stdout_console())
