"""``hrdet convert``."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import quieten, stdout_console
from hrdet_cli.cli.options import JsonOption, QuietOption
from hrdet_cli.errors import SpecError


class DataFormat(StrEnum):
    """What ``--to`` may be."""

    COCO = "coco"
    YOLO = "yolo"
    VOC = "voc"


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="COCO's JSON, YOLO's data.yaml or a Pascal VOC folder.", readable=False
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist.", readable=False)
    ],
    to: Annotated[
        DataFormat, typer.Option("--to", help="coco: JSON; yolo: as ultralytics reads it; voc: XML.")
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            metavar="IMAGES",
            help="Folder or .zip with the pictures of COCO's JSON.",
            readable=False,
        ),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(
            "--val",
            metavar="JSON",
            help="COCO's JSON of the validation part, with pictures in IMAGES too.",
            readable=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="The one part to convert, as train unless it is called val or test; of COCO's JSON, "
            "what the part is to be called: train by default.",
        ),
    ] = None,
    polygons: Annotated[
        bool, typer.Option("--polygons", help="YOLO: polygons of masks in place of boxes.")
    ] = False,
    link: Annotated[
        bool, typer.Option("--link", help="YOLO, VOC: links to the pictures in place of copies.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write annotations in another format: SOURCE with all its parts as a new folder OUT.

    What the other format has no place for is counted. Exit codes: 0 written, 2 usage, 3 errors in the data,
    5 OUT exists or cannot be written, 130 Ctrl-C. OUT appears whole or not at all.
    """
    quieten(quiet)
    from hrdet_cli.cli.display.conversion import print_conversion
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
    from hrdet_cli.runs.annotation_sources import find_parts, recognise
    from hrdet_cli.runs.convert import convert_data
    from hrdet_cli.runs.yolo_yaml import SPLITS

    sources: dict[str, AnnotationSource]
    if recognise(source) is None:
        if val is not None and split is not None:
            raise SpecError(["--val says that SOURCE is the training part; leave --split away"])
        sources = {split or "train": CocoFile(source, images)}
        if val is not None:
            sources["val"] = CocoFile(val, images)
    elif val is not None:
        raise SpecError(["--val is about COCO's JSON; SOURCE has its own parts"])
    else:
        parts = find_parts(source, images, split)
        one = len(parts) == 1
        sources = {"train" if one and part.split not in SPLITS else part.split or "": part for part in parts}
    work = convert_data(sources, to=to.value, out=out.absolute(), links_pictures=link, as_polygons=polygons)
    report = drive_work(work)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print_conversion(report, stdout_console())
