"""Check an annotation file, the parts of a data set, or those of an experiment."""

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from hrdet_cli.engine.data.box_forms import XYWH
from hrdet_cli.engine.data.checking.cleaning import CleanedFile, clean, json_lines
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.errors import DataError, OutputError
from hrdet_cli.runs.anchor_advice import advise_on_training_data
from hrdet_cli.runs.annotation_sources import find_parts
from hrdet_cli.runs.check_data.compared_parts import Gist, JoinedWith, TrainedOn
from hrdet_cli.runs.check_data.options import CheckOptions
from hrdet_cli.runs.check_data.part import check_part
from hrdet_cli.runs.check_data.report import DataReport, PartReport, WrittenFile
from hrdet_cli.runs.dataset.location import locate_part, refuse_exchanged
from hrdet_cli.runs.output_files import refuse_unwritable_file
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.tiles import most_pixels
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import first_few


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
    part = yield from check_part(sources[0], options)
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
        train = yield from check_part(
            locate_part(data, "train", number).source,
            options,
            part="train",
            label_maps=None if options.num_labels is None else data.locate_label_maps(number),
            needs_boxes=needs_boxes and number == num_sets - 1,
            classes=data.classes,
            others=JoinedWith([*gists], data.classes, is_last=number == num_sets - 1),
        )
        reports.append(replace(train.report, number=number + 1 if num_sets > 1 else None))
        gists.append(train.gist)
        # one data set with boxes is enough
        needs_boxes = needs_boxes and not train.file.has_targets(data.classes)
        del train  # its annotations are large
    if data.val is None:
        return DataReport(reports)
    trained = TrainedOn(gists, data.classes)
    val = yield from check_part(locate_part(data, "val").source, options, part="val", others=trained)
    return DataReport([*reports, val.report])


def _check_all(
    sources: Sequence[AnnotationSource], options: CheckOptions
) -> Generator[WorkProgress, None, DataReport]:
    """All parts of one data set, each compared with the first."""
    reports: list[PartReport] = []
    first: TrainedOn | None = None
    for source in sources:
        part = yield from check_part(source, options, others=first)
        reports.append(part.report)
        first = first or TrainedOn([part.gist])
    return DataReport(reports)


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
