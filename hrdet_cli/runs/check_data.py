"""``hrdet check-data``: everything that is wrong with a data set, and a cleaned annotation file."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hrdet_cli.engine.data.annotation_file import without_cycle_search
from hrdet_cli.engine.data.box_forms import XYWH, BoxForm
from hrdet_cli.engine.data.checking.annotations import CheckedFile, CheckedPictures, check_annotations
from hrdet_cli.engine.data.checking.box_conversion import with_coco_boxes
from hrdet_cli.engine.data.checking.boxes import check_places
from hrdet_cli.engine.data.checking.categories import note_spare_categories
from hrdet_cli.engine.data.checking.cleaning import CleanedFile, can_be_cleaned, clean, json_lines
from hrdet_cli.engine.data.checking.label_maps import find_maps, open_maps
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.opening import Finding, NamedSize, open_all
from hrdet_cli.engine.data.checking.presence import check_presence
from hrdet_cli.engine.data.checking.problems import (
    DAMAGED_PIXELS,
    NO_TARGETS,
    NO_TARGETS_ALONE,
    ODD_NAMES,
    UNREADABLE_PICTURE,
    Problem,
    ProblemKind,
    ProblemLog,
)
from hrdet_cli.engine.data.checking.sizes import OpenedPictures, settle_sizes
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError, OutputError
from hrdet_cli.runs.anchor_advice import advise_on_training_data
from hrdet_cli.runs.annotation_sources import find_parts
from hrdet_cli.runs.compared_parts import Gist, JoinedWith, TrainedOn
from hrdet_cli.runs.data_report import DataReport, PartReport, WrittenFile
from hrdet_cli.runs.dataset.location import locate_part, refuse_exchanged
from hrdet_cli.runs.doctor.limits import ControlGroups, count_cores
from hrdet_cli.runs.output_files import refuse_unwritable_file
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.tiles import most_pixels
from hrdet_cli.specs.data import DataSpec, PartName
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import first_few


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How to look.

    Attributes:
        opens_pictures: Decode every picture, not only look whether it is there.
        num_workers: Processes that decode, at most one for each core that may be used; None takes as many.
        num_shown: How many problems of each kind to describe; None describes all.
        box_form: The form of the boxes, where it is known; COCO's own says that they are not to be judged.
        masks_matter: Whether the head has masks, so that broken ones are errors.
        num_labels: Labels that the training pictures' label maps may have; None leaves the maps alone.
        max_pixels: Larger pictures cannot be used.
    """

    opens_pictures: bool = True
    num_workers: int | None = None
    num_shown: int | None = None
    box_form: BoxForm | None = None
    masks_matter: bool = False
    num_labels: int | None = None
    max_pixels: int = MAX_PICTURE_PIXELS


def check_file(
    annotations: Path,
    images: Path | None,
    options: CheckOptions,
    *,
    split: str | None = None,
    fix_out: Path | None,
) -> Generator[WorkProgress, None, DataReport]:
    """Check an annotation file, and its pictures where their root is given, or a data set of another format.

    Args:
        annotations: The file, or what is said of `data.train.annotations`.
        images: Folder or archive of the pictures; None looks at the file alone. Another format says itself
            where its pictures are.
        options: How to look.
        split: Part of a data set of another format; None checks all its parts.
        fix_out: Where a cleaned file goes, of one part; None writes nothing.

    Raises:
        DataError: The file is no JSON object, or the image root cannot be opened, or they are exchanged; or
            there is no such part.
        OutputError: ``fix_out`` exists or cannot be written.
    """
    if images is not None:
        refuse_exchanged(annotations, images)
    if fix_out is not None:
        refuse_unwritable_file(fix_out, option="--fix-out")
        if fix_out.exists():
            raise OutputError(f"{fix_out}: exists already; name a new file with --fix-out")
    sources = find_parts(annotations, images, split)
    if len(sources) > 1:
        if fix_out is not None:
            names = first_few([str(source.split) for source in sources])
            raise DataError(f"{annotations}: has several parts ({names}): name that to clean with --split")
        return (yield from _check_all(sources, options))
    part = yield from _check_part(sources[0], options)
    if fix_out is None:
        return DataReport([part.report])
    try:
        cleaned = clean(
            part.file,
            part.report.counts,
            unusable_pictures=part.unusable_pictures,
            declares_form=options.box_form is XYWH,
        )
    except DataError as error:
        return DataReport([part.report], why_not_cleaned=str(error))
    yield WorkProgress(f"writing {fix_out.name}")
    _write(fix_out, cleaned)
    written = WrittenFile(
        fix_out,
        cleaned.num_pictures_left_out,
        cleaned.num_pictures_changed,
        cleaned.num_annotations_left_out,
        cleaned.num_annotations_changed,
    )
    return DataReport([part.report], cleaned=written)


def check_experiment(
    spec: ExperimentSpec, options: CheckOptions
) -> Generator[WorkProgress, None, DataReport]:
    """Check the training and the validation part of an experiment, and whether they go together.

    Where training takes the data, the report also says which anchors fit them.

    Raises:
        DataError: An annotation file is no JSON object, or an image root cannot be opened.
    """
    report = yield from _check_parts(spec.data, options)
    return report if report.num_errors else replace(report, anchors=advise_on_training_data(spec))


def _check_parts(data: DataSpec, options: CheckOptions) -> Generator[WorkProgress, None, DataReport]:
    options = replace(options, max_pixels=most_pixels(data))
    reports, gists = list[PartReport](), list[Gist]()
    needs_boxes, num_sets = not data.keep_pictures_without_boxes, len(data.training_sets)
    for number in range(num_sets):
        train = yield from _check_part(
            locate_part(data, "train", number).source,
            options,
            part="train",
            label_maps=None if options.num_labels is None else data.locate_label_maps(number),
            needs_boxes=needs_boxes and number == num_sets - 1,
            others=JoinedWith(gists, data.classes) if gists else None,
        )
        reports.append(replace(train.report, number=number + 1 if num_sets > 1 else None))
        gists.append(train.gist)
        needs_boxes = needs_boxes and not train.file.has_targets  # one data set with boxes is enough
        del train  # its annotations are large
    if data.val is None:
        return DataReport(reports)
    trained = TrainedOn(gists, data.classes)
    val = yield from _check_part(locate_part(data, "val").source, options, part="val", others=trained)
    return DataReport([*reports, val.report])


def _check_all(
    sources: Sequence[AnnotationSource], options: CheckOptions
) -> Generator[WorkProgress, None, DataReport]:
    """All parts of one data set, each compared with the first."""
    reports: list[PartReport] = []
    first: TrainedOn | None = None
    for source in sources:
        part = yield from _check_part(source, options, others=first)
        reports.append(part.report)
        first = first or TrainedOn([part.gist])
    return DataReport(reports)


@dataclass(frozen=True, slots=True, eq=False)
class _CheckedPart:
    file: CheckedFile
    unusable_pictures: set[int]
    gist: Gist
    report: PartReport


@dataclass(frozen=True, slots=True, eq=False)
class _SeenPictures:
    """What looking at the pictures of a file has shown.

    Attributes:
        file: With their sizes, as far as they are beyond doubt.
        unusable: Rows of pictures that cannot be used.
        num_unnamed: How many are there that the file does not name; None where nobody looked.
        digests: By rows, of the files that were opened.
    """

    file: CheckedFile
    unusable: set[int] = field(default_factory=set)
    num_unnamed: int | None = None
    digests: Mapping[int, bytes] = field(default_factory=dict)


def _check_part(
    source: AnnotationSource,
    options: CheckOptions,
    *,
    part: PartName | None = None,
    label_maps: Path | None = None,
    needs_boxes: bool = False,
    others: TrainedOn | JoinedWith | None = None,
) -> Generator[WorkProgress, None, _CheckedPart]:
    log = ProblemLog(num_described=options.num_shown)
    root = source.images
    images = None if root is None else open_images(root)
    yield WorkProgress(f"reading {source.path.name}")
    with without_cycle_search():
        seen = _SeenPictures(check_annotations(source.read_whole(log), log))
    if root is not None and images is not None:
        seen = yield from _look_at_pictures(seen.file, root, images, options, log)
    file, unusable = seen.file, seen.unusable
    if label_maps is not None:
        yield from _look_at_label_maps(file.pictures, label_maps, unusable, options, log)
    file = with_coco_boxes(file, log, form=options.box_form)
    file = replace(file, annotations=check_places(file.annotations, file.pictures.sizes))
    check_masks(file.annotations, file.pictures.sizes, log, file=file.path.name, matter=options.masks_matter)
    if part != "val":  # which may lack boxes of any category
        note_spare_categories(file, log)
    _check_targets(file, part, log, needs_boxes=needs_boxes)
    gist = Gist.of(file, root, seen.digests)
    if others is not None:
        others.compare(file.path.name, gist, log)
    report = PartReport(
        part=part,
        annotations=source.path,
        split=source.split,
        arguments=source.arguments,
        images=root,
        label_maps=label_maps,
        opened=root is not None and options.opens_pictures,
        num_pictures=len(file.pictures.entries),
        num_annotations=len(file.annotations.entries),
        num_categories=len(file.kinds),
        num_pictures_without_boxes=file.num_pictures_without_boxes,
        num_categories_without_boxes=file.num_categories_without_boxes,
        num_unnamed_pictures=seen.num_unnamed,
        counts=log.counts,
        problems=log.described(),
        notes=log.notes,
        can_be_mended=can_be_cleaned(file, log.counts, unusable_pictures=unusable),
    )
    return _CheckedPart(file, unusable, gist, report)


def _look_at_pictures(
    file: CheckedFile, root: Path, source: ImageSource, options: CheckOptions, log: ProblemLog
) -> Generator[WorkProgress, None, _SeenPictures]:
    presence = check_presence(file.pictures, source, root, log)
    unusable = set(presence.unusable_rows)
    for note in presence.notes:
        log.add_one(Problem(ODD_NAMES, file.path.name, None, note))
    if not options.opens_pictures:
        return _SeenPictures(file, unusable, presence.num_unnamed)
    opened = yield from _open_pictures(file, root, source, unusable, options, log)
    file, of_another_size = settle_sizes(file, opened, log)
    unusable |= opened.unusable | of_another_size
    return _SeenPictures(file, unusable, presence.num_unnamed, opened.digests)


def _open_pictures(
    file: CheckedFile,
    root: Path,
    source: ImageSource,
    missing: set[int],
    options: CheckOptions,
    log: ProblemLog,
) -> Generator[WorkProgress, None, OpenedPictures]:
    """Open the pictures that are there."""
    pictures = file.pictures
    rows = [row for row in np.flatnonzero(pictures.is_named).tolist() if row not in missing]
    named = [
        NamedSize(pictures.names[row] or "", Size(height, width) if height and width else None)
        for row, (height, width) in zip(rows, pictures.sizes[rows].tolist(), strict=True)
    ]
    yield WorkProgress(f"opening {root.name}", 0, len(rows))
    found: dict[int, Finding] = {}
    for opened in open_all(source, named, num_workers=_num_workers(options), max_pixels=options.max_pixels):
        found |= {rows[finding.position]: finding for finding in opened.findings}
        yield WorkProgress(f"opening {root.name}", opened.num_done, len(rows))
    faults = {row: finding.fault for row, finding in found.items() if finding.fault is not None}
    damage = {row: finding.damage for row, finding in found.items() if finding.damage is not None}
    for kind, what_by_row in ((UNREADABLE_PICTURE, faults), (DAMAGED_PIXELS, damage)):
        _report_pictures(pictures, kind, what_by_row, log)
    true_sizes = {row: finding.true_sizes for row, finding in found.items() if finding.true_sizes is not None}
    digests = {row: finding.digest for row, finding in found.items() if finding.digest is not None}
    return OpenedPictures(rows, set(faults), true_sizes, digests)


def _look_at_label_maps(
    pictures: CheckedPictures, root: Path, unusable: set[int], options: CheckOptions, log: ProblemLog
) -> Generator[WorkProgress, None, None]:
    """What a semantic branch learns from; maps of pictures that cannot be used are not opened."""
    maps = LabelMaps(open_images(root), num_labels=options.num_labels or 0)
    present = find_maps(pictures, maps, log)
    rows = [row for row in present if row not in unusable and pictures.sizes[row].all()]
    if options.opens_pictures:
        yield WorkProgress(f"opening {root.name}", 0, len(rows))
        for num_done in open_maps(pictures, rows, maps, log, num_workers=_num_workers(options)):
            yield WorkProgress(f"opening {root.name}", num_done, len(rows))


def _report_pictures(
    pictures: CheckedPictures, kind: ProblemKind, what_by_row: Mapping[int, str], log: ProblemLog
) -> None:
    def describe(row: int) -> Problem:
        return Problem(kind, pictures.names[row] or "", pictures.entries.item(row), what_by_row[row])

    log.add(kind, list(what_by_row), describe)


def _check_targets(file: CheckedFile, part: PartName | None, log: ProblemLog, *, needs_boxes: bool) -> None:
    """Whether there is anything to learn."""
    if not len(file.pictures.entries) or file.has_targets:
        return
    if part is None:
        what = (
            "no picture has a box to train on; training refuses that unless "
            "data.keep_pictures_without_boxes=true"
        )
        log.add_one(Problem(NO_TARGETS_ALONE, file.path.name, None, what))
    elif needs_boxes:
        what = (
            "no picture has a box to train on; set data.keep_pictures_without_boxes=true to train on empty "
            "pictures"
        )
        log.add_one(Problem(NO_TARGETS, file.path.name, None, what))


def _num_workers(options: CheckOptions) -> int:
    num_cores = max(1, int(count_cores(ControlGroups()).usable))
    return num_cores if options.num_workers is None else min(options.num_workers, num_cores)


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
