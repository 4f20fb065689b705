"""``hrdet convert``."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import quieten, stdout_console
from hrdet_cli.cli.given_paths import refuse_missing_source
from hrdet_cli.cli.options import JsonOption, QuietOption
from hrdet_cli.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hrdet_cli.engine.data.formats.source import AnnotationSource


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
        typer.Option("--val", metavar="JSON", help="COCO's JSON of the validation part.", readable=False),
    ] = None,
    val_images: Annotated[
        Path | None,
        typer.Option(
            "--val-images",
            metavar="IMAGES",
            help="Its pictures; by default those of --images.",
            readable=False,
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option("--test", metavar="JSON", help="COCO's JSON of the test part.", readable=False),
    ] = None,
    test_images: Annotated[
        Path | None,
        typer.Option(
            "--test-images",
            metavar="IMAGES",
            help="Its pictures; by default those of --images.",
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
    from hrdet_cli.runs.convert import convert_data

    more = {"val": (val, val_images), "test": (test, test_images)}
    sources = _sources(source, images, split, more)
    work = convert_data(sources, to=to.value, out=out.absolute(), links_pictures=link, as_polygons=polygons)
    report = drive_work(work)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print_conversion(report, stdout_console())


def _sources(
    source: Path,
    images: Path | None,
    split: str | None,
    more: "Mapping[str, tuple[Path | None, Path | None]]",
) -> "dict[str, AnnotationSource]":
    """What is converted, by the name that a part gets.

    Raises:
        DataError: There is no such part.
        SpecError: Options contradict each other.
    """
    from hrdet_cli.engine.data.formats.source import CocoFile
    from hrdet_cli.runs.annotation_sources import find_parts, recognise
    from hrdet_cli.runs.yolo_yaml import SPLITS

    for annotations, pictures in ((source, images), *more.values()):
        refuse_missing_source(annotations, pictures)
    for name, (json_file, pictures) in more.items():
        if pictures is not None and json_file is None:
            raise SpecError([f"--{name}-images goes with --{name} JSON"])
    given = {name: paths for name, paths in more.items() if paths[0] is not None}
    if recognise(source) is not None:
        if given:
            raise SpecError([f"--{next(iter(given))} is about COCO's JSON; SOURCE has its own parts"])
        parts = find_parts(source, images, split)
        one = len(parts) == 1
        return {"train" if one and part.split not in SPLITS else part.split or "": part for part in parts}
    if given and split is not None:
        raise SpecError([f"--{next(iter(given))} says that SOURCE is the training part; leave --split away"])
    sources: dict[str, AnnotationSource] = {split or "train": CocoFile(source, images)}
    for name, (json_file, pictures) in given.items():
        sources[name] = CocoFile(json_file or source, pictures or images)
    return sources
