"""Check one annotation file, and its pictures where it is said where they are."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hrdet_cli.engine.data.annotation_file import without_cycle_search
from hrdet_cli.engine.data.checking.annotations import CheckedFile, check_annotations
from hrdet_cli.engine.data.checking.box_conversion import with_coco_boxes
from hrdet_cli.engine.data.checking.boxes import check_places
from hrdet_cli.engine.data.checking.categories import note_spare_categories
from hrdet_cli.engine.data.checking.cleaning import can_be_cleaned
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import NO_TARGETS, NO_TARGETS_ALONE, Problem, ProblemLog
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.runs.check_data.compared_parts import Gist, JoinedWith, TrainedOn
from hrdet_cli.runs.check_data.options import CheckOptions
from hrdet_cli.runs.check_data.pictures import SeenPictures, look_at_label_maps, look_at_pictures
from hrdet_cli.runs.check_data.report import PartReport
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.specs.data import PartName


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPart:
    """An annotation file that was looked at.

    Attributes:
        file: What is in it.
        unusable_pictures: Rows of pictures that cannot be used.
        gist: What other data sets have to agree with.
        report: What is wrong with it.
    """

    file: CheckedFile
    unusable_pictures: set[int]
    gist: Gist
    report: PartReport


def check_part(
    source: AnnotationSource,
    options: CheckOptions,
    *,
    part: PartName | None = None,
    label_maps: Path | None = None,
    needs_boxes: bool = False,
    classes: Sequence[str] | None = None,
    others: TrainedOn | JoinedWith | None = None,
) -> Generator[WorkProgress, None, CheckedPart]:
    """Look at the annotations of a part, and at its pictures where their root is named.

    Args:
        source: The annotations.
        options: How to look.
        part: Which part of an experiment it is; None of a data set by itself.
        label_maps: Where the label maps of its pictures are; None leaves them alone.
        needs_boxes: Whether training needs a box of it.
        classes: Those to train on; None takes all.
        others: Data sets that it is compared with.

    Raises:
        DataError: The file is no JSON object, or an image root cannot be opened.
    """
    log = ProblemLog(num_described=options.num_shown)
    root = source.images
    images = None if root is None else open_images(root)
    yield WorkProgress(f"reading {source.path.name}")
    with without_cycle_search():
        seen = SeenPictures(check_annotations(source.read_whole(log), log))
    if root is not None and images is not None:
        seen = yield from look_at_pictures(seen.file, root, images, options, log)
    file, unusable = seen.file, seen.unusable
    if label_maps is not None:
        yield from look_at_label_maps(file.pictures, label_maps, unusable, options, log)
    file = with_coco_boxes(file, log, form=options.box_form)
    file = replace(file, annotations=check_places(file.annotations, file.pictures.sizes))
    check_masks(file.annotations, file.pictures.sizes, log, file=file.path.name, matter=options.masks_matter)
    if part != "val":  # which may lack boxes of any category
        note_spare_categories(file, log)
    _check_targets(file, part, classes, log, needs_boxes=needs_boxes)
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
    return CheckedPart(file, unusable, gist, report)


def _check_targets(
    file: CheckedFile,
    part: PartName | None,
    classes: Sequence[str] | None,
    log: ProblemLog,
    *,
    needs_boxes: bool,
) -> None:
    """Whether there is anything to learn."""
    if not len(file.pictures.entries) or file.has_targets(classes):
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
