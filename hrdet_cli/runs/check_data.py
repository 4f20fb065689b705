"""``hrdet check-data``: everything that is wrong with a data set, and a cleaned annotation file."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hrdet_cli.engine.data.annotation_file import without_cycle_search
from hrdet_cli.engine.data.checking.annotations import CheckedFile, check_annotations, read_json
from hrdet_cli.engine.data.checking.box_hints import hints_about_boxes
from hrdet_cli.engine.data.checking.cleaning import CleanedFile, clean, json_lines
from hrdet_cli.engine.data.checking.opening import NamedSize, open_all
from hrdet_cli.engine.data.checking.presence import check_presence
from hrdet_cli.engine.data.checking.problems import NO_TARGETS, OTHER_CATEGORIES, Problem, ProblemLog
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError, OutputError
from hrdet_cli.runs.data_report import DataReport, PartName, PartReport, WrittenFile
from hrdet_cli.runs.dataset import locate_part
from hrdet_cli.runs.doctor.limits import ControlGroups, count_cores
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.specs.data import DataSpec


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How to look.

    Attributes:
        opens_pictures: Decode every picture, not only look whether it is there.
        num_workers: Processes that decode, at most one for each core that may be used; None takes as many.
        num_shown: How many problems of each kind to describe; None describes all.
    """

    opens_pictures: bool = True
    num_workers: int | None = None
    num_shown: int | None = None


def check_file(
    annotations: Path, images: Path | None, options: CheckOptions, *, fix_out: Path | None
) -> Generator[WorkProgress, None, DataReport]:
    """Check an annotation file, and its pictures where their root is given.

    Args:
        annotations: The file.
        images: Folder or archive of the pictures; None looks at the file alone.
        options: How to look.
        fix_out: Where a cleaned file goes; None writes nothing.

    Raises:
        DataError: The file is no JSON object, or the image root cannot be opened.
        OutputError: ``fix_out`` exists or cannot be written.
    """
    if fix_out is not None and fix_out.exists():
        raise OutputError(f"{fix_out}: exists already; name a new file with --fix-out")
    part = yield from _check_part(annotations, images, options)
    if fix_out is None:
        return DataReport([part.report])
    try:
        cleaned = clean(part.file, part.report.counts, unusable_pictures=part.unusable_pictures)
    except DataError as error:
        return DataReport([part.report], why_not_cleaned=str(error))
    yield WorkProgress(f"writing {fix_out.name}")
    _write(fix_out, cleaned)
    written = WrittenFile(
        fix_out,
        cleaned.num_pictures_left_out,
        cleaned.num_annotations_left_out,
        cleaned.num_annotations_changed,
    )
    return DataReport([part.report], cleaned=written)


def check_experiment(data: DataSpec, options: CheckOptions) -> Generator[WorkProgress, None, DataReport]:
    """Check the training and the validation part of an experiment, and whether they go together.

    Raises:
        DataError: An annotation file is no JSON object, or an image root cannot be opened.
    """
    located = locate_part(data, "train")
    train = yield from _check_part(
        located.annotations,
        located.images,
        options,
        part="train",
        needs_boxes=not data.keep_pictures_without_boxes,
    )
    report, gist = train.report, _gist_of(train.file, located.images)
    del train  # its annotations are large
    located = locate_part(data, "val")
    val = yield from _check_part(located.annotations, located.images, options, part="val", other=gist)
    return DataReport([report, val.report])


@dataclass(frozen=True, slots=True, eq=False)
class _CheckedPart:
    file: CheckedFile
    unusable_pictures: set[int]
    report: PartReport


@dataclass(frozen=True, slots=True, eq=False)
class _Gist:
    """What another part has to agree with."""

    images: Path
    names: frozenset[str | None]
    categories: list[tuple[int, str]]


def _gist_of(file: CheckedFile, images: Path) -> _Gist:
    return _Gist(images.resolve(), frozenset(file.pictures.names), file.categories)


def _check_part(
    annotations: Path,
    images: Path | None,
    options: CheckOptions,
    *,
    part: PartName | None = None,
    needs_boxes: bool = False,
    other: _Gist | None = None,
) -> Generator[WorkProgress, None, _CheckedPart]:
    log = ProblemLog(num_described=options.num_shown)
    source = None if images is None else open_images(images)
    yield WorkProgress(f"reading {annotations.name}")
    with without_cycle_search():
        file = check_annotations(read_json(annotations), log)
    notes = hints_about_boxes(file)
    if 0 < len(file.pictures.entries) == file.num_pictures_without_boxes:
        if part is None:
            notes.append(
                "no picture has a box to train on; training refuses that unless "
                "data.keep_pictures_without_boxes=true"
            )
        elif needs_boxes:
            what = "set data.keep_pictures_without_boxes=true to train on empty pictures"
            log.add_one(
                Problem(NO_TARGETS, file.path.name, None, f"no picture has a box to train on; {what}")
            )
    if other is not None:
        notes += _compare(file, images, other, log)
    unusable, num_unnamed = set[int](), None
    if images is not None and source is not None:
        presence = check_presence(file.pictures, source, images, log)
        unusable, num_unnamed = set(presence.unusable_rows), presence.num_unnamed
        notes += presence.notes
        if options.opens_pictures:
            unusable |= yield from _open_pictures(file, images, source, unusable, options, log)
    report = PartReport(
        part=part,
        annotations=annotations,
        images=images,
        opened=images is not None and options.opens_pictures,
        num_pictures=len(file.pictures.entries),
        num_annotations=len(file.annotations.entries),
        num_categories=file.num_categories,
        num_pictures_without_boxes=file.num_pictures_without_boxes,
        num_categories_without_boxes=file.num_categories_without_boxes,
        num_unnamed_pictures=num_unnamed,
        counts=log.counts,
        problems=log.described(),
        notes=notes,
    )
    return _CheckedPart(file, unusable, report)


def _open_pictures(
    file: CheckedFile,
    root: Path,
    source: ImageSource,
    missing: set[int],
    options: CheckOptions,
    log: ProblemLog,
) -> Generator[WorkProgress, None, set[int]]:
    """Open the pictures that are there and whose size is known; rows of those that cannot be used."""
    pictures = file.pictures
    rows = [row for row in np.flatnonzero(pictures.is_sound).tolist() if row not in missing]
    named = [NamedSize(pictures.names[row] or "", Size(*pictures.sizes[row].tolist())) for row in rows]
    yield WorkProgress(f"opening {root.name}", 0, len(rows))
    unusable = set()
    for opened in open_all(source, named, num_workers=_num_workers(options)):
        for fault in opened.faults:
            row = rows[fault.position]
            if fault.kind.is_error:
                unusable.add(row)
            item = pictures.entries.item(row)
            log.add_one(Problem(fault.kind, named[fault.position].name, item, fault.what))
        yield WorkProgress(f"opening {root.name}", opened.num_done, len(rows))
    return unusable


def _num_workers(options: CheckOptions) -> int:
    num_cores = max(1, int(count_cores(ControlGroups()).usable))
    return num_cores if options.num_workers is None else min(options.num_workers, num_cores)


def _compare(file: CheckedFile, images: Path | None, train: _Gist, log: ProblemLog) -> list[str]:
    """What is wrong between a validation part and its training part."""
    if file.categories != train.categories:
        differing = sorted(set(file.categories) ^ set(train.categories))
        detail = ", ".join(f"{name} (id {number})" for number, name in differing[:5]) or "their order"
        what = f"its categories are not those of the training data; they differ in {detail}"
        log.add_one(Problem(OTHER_CATEGORIES, file.path.name, None, what))
    num_shared = len(train.names.intersection(file.pictures.names) - {None})
    if not num_shared or images is None or images.resolve() != train.images:
        return []
    return [f"{num_shared} of its pictures are training pictures too: its scores will flatter"]


def _write(path: Path, cleaned: CleanedFile) -> None:
    """Write the file whole or not at all, over nothing that is there."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            try:
                file.writelines(json_lines(cleaned.content))
            except BaseException:
                temporary.unlink()
                raise
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written by way of {temporary.name}: {error.strerror}"
        ) from error
