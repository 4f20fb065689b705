"""``hrdet compare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.options import DataPaths, JsonOption, QuietOption

if TYPE_CHECKING:
    from hrdet_cli.specs.data import DatasetSpec

NUM_RESAMPLES, FEWEST_RESAMPLES = 1000, 200


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C ...]",
            help="Run folders, folders of results that `hrdet eval` wrote, or lists of detections in COCO's "
            "format. All are compared with the first. Groups of runs of one kind: A1 A2 vs B1 B2.",
            show_default=False,
        ),
    ],
    val_data: Annotated[
        DataPaths | None,
        typer.Option(
            "--val-data",
            metavar="SOURCE [IMAGES]",
            help="Score all on these annotations; needed for detections that hrdet did not write.",
        ),
    ] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(
            "--evaluation",
            metavar="NAME",
            help="Folder of results in each run, such as eval-best-on-test; default eval-best where all have "
            "it, else evaluation, which is of the last evaluated epoch.",
        ),
    ] = None,
    num_resamples: Annotated[
        int,
        typer.Option(
            "--resamples",
            metavar="N",
            min=FEWEST_RESAMPLES,
            help="How often the pictures are drawn anew for the intervals.",
        ),
    ] = NUM_RESAMPLES,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write a page with all of it: tables, curves of the trainings, differing pictures.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say how trained detectors differ, and what of it may be chance. Nothing is detected anew.

    Exit codes: 0 compared, whatever came of it; 2 usage; 3 evaluations of different data or classes, or files
    that contradict each other; 5 no results there, or the page cannot be written.
    """
    quieten(quiet)
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.runs.compare.comparison import compare_detectors
    from hrdet_cli.runs.compare.sides import split_into_sides
    from hrdet_cli.runs.output_files import refuse_unwritable_file

    if html is not None:
        refuse_unwritable_file(html, option="--html")
    work = compare_detectors(
        split_into_sides(sources),
        evaluation=evaluation,
        annotations=_named(val_data),
        num_resamples=num_resamples,
    )
    comparison = drive_work(work)
    print_notices(comparison.notices)
    if html is not None:
        load_torch()
        from hrdet_cli.runs.compare.page import write_page

        drive_work(write_page(comparison, html))
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.compare import draw_comparison

    console = stdout_console()
    console.print(draw_comparison(comparison))
    if html is not None:
        console.print(str(html), style="dim", soft_wrap=True)


def _named(val_data: DataPaths | None) -> "DatasetSpec | None":
    from hrdet_cli.specs.data import DatasetSpec

    if val_data is None:
        return None
    annotations, images = val_data
    return DatasetSpec(annotations=Path(annotations), images=Path(images) if images else None)
