"""``hrdet check-data``."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_data, refuse_missing_file, refuse_missing_source
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
from hrdet_cli.errors import DataError, SpecError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from hrdet_cli.engine.data.box_forms import BoxForm
    from hrdet_cli.runs.check_data.report import DataReport
    from hrdet_cli.runs.progress import WorkProgress


def check_data(
    annotations: Annotated[
        Path | None,
        typer.Argument(
            metavar="SOURCE",
            help="COCO's JSON, YOLO's data.yaml or a Pascal VOC folder.",
            readable=False,
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Argument(
            metavar="IMAGES",
            help="Folder or .zip with the pictures of COCO's JSON; without it the JSON alone is checked.",
            readable=False,
        ),
    ] = None,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Part of data.yaml, or image set of VOC; default train, val and test, those that there are.",
        ),
    ] = None,
    fix_out: Annotated[
        Path | None,
        typer.Option(
            "--fix-out",
            metavar="FILE",
            help="Write a cleaned copy, as COCO's JSON; FILE must not exist yet.",
        ),
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Only look whether each picture is there; do not open it.")
    ] = False,
    num_workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            min=0,
            help="Processes that open pictures; default, and at most, one for each core.",
        ),
    ] = None,
    num_shown: Annotated[
        int, typer.Option("--show", metavar="N", min=0, help="Problems shown of each kind; 0 shows all.")
    ] = 10,
    box_form: Annotated[
        str | None,
        typer.Option(
            "--boxes",
            metavar="FORM",
            help="The form of the boxes, where they do not tell or tell wrong: xywh (COCO's), xyxy, yxyx, "
            "cxcywh, or in shares of the picture cxcywh-shares, xywh-shares, xyxy-shares, yxyx-shares.",
        ),
    ] = None,
    suspects: Annotated[
        Path | None,
        typer.Option(
            "--suspects",
            metavar="FILE",
            readable=False,
            help="Go through the suspect annotations that `hrdet eval --report` listed: print and draw those "
            "that are still as they were, in SOURCE or in the data that the list names.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find everything wrong with annotations and pictures: SOURCE, or both parts of an experiment.

    Errors are what training refuses; it lives with warnings. Exit codes: 0 no errors, 3 errors in the data,
    2 usage, 5 the file of --fix-out is in the way, 8 a process that opened pictures died, 9 no more files or
    processes may be opened, 130 Ctrl-C.
    """
    quieten(quiet)
    from hrdet_cli.runs.check_data.options import CheckOptions

    refuse_missing_source(annotations, images)
    names_experiment = any((preset, spec_file, settings, train_data, val_data))
    if suspects is not None:
        refuse_missing_file(suspects, "name the list that `hrdet eval --report` writes beside the page")
        _refuse_options_of_checks(
            {
                "--fix-out": fix_out,
                "--no-open": no_open or None,
                "--workers": num_workers,
                "--boxes": box_form,
                "--preset, --spec, --set, --train-data and --val-data": names_experiment or None,
            }
        )
        _go_through(suspects, annotations, images, split=split, num_shown=num_shown or None, as_json=as_json)
        return
    if names_experiment == (annotations is not None):
        raise SpecError(["give SOURCE, or an experiment with --preset or --spec"])
    if no_open and num_workers is not None:
        raise SpecError(["--workers is about opening pictures, and --no-open opens none: give one of them"])
    options = CheckOptions(
        opens_pictures=not no_open,
        num_workers=num_workers,
        num_shown=num_shown or None,
        box_form=_box_form(box_form),
    )
    if annotations is not None:
        _refuse_options_of_pictures(annotations, images, no_open=no_open, num_workers=num_workers)
        load_torch()
        from hrdet_cli.runs.check_data.checking import check_file

        check = check_file(annotations, images, options, split=split, fix_out=fix_out)
    else:
        _refuse_options_of_one_file(fix_out=fix_out, split=split, box_form=box_form)
        loaded = load_from_options(
            preset=preset, spec_file=spec_file, settings=settings, train_data=train_data, val_data=val_data
        )
        refuse_missing_data(loaded.spec.data, ("train", "val"))
        load_torch()
        from hrdet_cli.runs.check_data.checking import check_experiment

        head = loaded.spec.model.head
        options = replace(options, masks_matter=head.has_masks, num_labels=head.num_labels)
        check = check_experiment(loaded.spec, options)
    _report(check, as_json=as_json)


def _report(check: "Generator[WorkProgress, None, DataReport]", *, as_json: bool) -> None:
    """Check, and show what was found.

    Raises:
        DataError: No cleaned file could be made.
        typer.Exit: The data have errors.
    """
    from hrdet_cli.cli.display.check_data import print_report
    from hrdet_cli.cli.display.progress import drive_work

    report = drive_work(check)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        print_report(report, stdout_console())
    if report.why_not_cleaned is not None:
        raise DataError(report.why_not_cleaned)
    if report.num_errors:
        raise typer.Exit(DataError.exit_code)


def _refuse_options_of_pictures(
    annotations: Path, images: Path | None, *, no_open: bool, num_workers: int | None
) -> None:
    """Options about pictures are for annotations whose pictures are known."""
    from hrdet_cli.runs.annotation_sources import recognise

    if images is None and (no_open or num_workers is not None) and recognise(annotations) is None:
        option = "--no-open" if no_open else "--workers"
        raise SpecError([f"{option} is about pictures: name their folder or .zip too, as JSON IMAGES"])


def _refuse_options_of_checks(given: "Mapping[str, object | None]") -> None:
    if present := [option for option, value in given.items() if value is not None]:
        raise SpecError([f"--suspects goes through a list and checks nothing: leave {present[0]} away"])


def _refuse_options_of_one_file(*, fix_out: Path | None, split: str | None, box_form: str | None) -> None:
    if fix_out is not None:
        raise SpecError(["--fix-out cleans one file: name it and its pictures, as JSON IMAGES"])
    if split is not None:
        raise SpecError(["--split is about one data set: name it, as SOURCE"])
    if box_form is not None:
        raise SpecError(["--boxes is about one file: name it and its pictures, as JSON IMAGES"])


def _go_through(
    suspects: Path,
    annotations: Path | None,
    images: Path | None,
    *,
    split: str | None,
    num_shown: int | None,
    as_json: bool,
) -> None:
    load_torch()
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.cli.display.suspects import print_review
    from hrdet_cli.runs.suspect_review import review_suspects

    work = review_suspects(suspects, annotations=annotations, images=images, split=split)
    review = drive_work(work)
    if as_json:
        typer.echo(json.dumps(review.to_json(), indent=2, ensure_ascii=False))
    else:
        print_review(review, stdout_console(), num_shown=num_shown)


def _box_form(name: str | None) -> "BoxForm | None":
    from hrdet_cli.engine.data.box_forms import BOX_FORMS

    if name is not None and name not in BOX_FORMS:
        raise SpecError([f"--boxes {name}: no such form of boxes; there are {', '.join(BOX_FORMS)}"])
    return None if name is None else BOX_FORMS[name]
