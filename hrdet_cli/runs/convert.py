"""``hrdet convert``: annotations of one format in, a data set of another out."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hrdet_cli.engine.data.annotation_file import without_cycle_search
from hrdet_cli.engine.data.checking.annotations import check_annotations
from hrdet_cli.engine.data.checking.box_conversion import with_coco_boxes
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.formats.conversion import (
    LOOKED_THROUGH,
    Losses,
    describe_part,
    document_of_lvis,
    losses_of,
)
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.errors import DataError, OutputError, SpecError
from hrdet_cli.runs.data_set_writing import ReadPart, write_coco, write_voc, write_yolo
from hrdet_cli.runs.dataset.classes import differences_of_classes
from hrdet_cli.runs.output_files import refuse_unwritable_folder
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.yolo_yaml import SPLITS
from hrdet_cli.wording import command, counted, first_few

Format = Literal["coco", "yolo", "voc"]


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """A data set that was written.

    Attributes:
        out: Its folder.
        format: What it is now.
        num_pictures: By the name of the part.
        num_objects: Likewise; of what was read.
        losses: How many things the format has no place for, by what they are and what became of them.
        use: Arguments of ``hrdet train`` that take it.
    """

    out: Path
    format: Format
    num_pictures: Mapping[str, int]
    num_objects: Mapping[str, int]
    losses: Mapping[str, int]
    use: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "out": str(self.out),
            "format": self.format,
            "parts": {
                name: {"num_pictures": count, "num_objects": self.num_objects[name]}
                for name, count in self.num_pictures.items()
            },
            "lost": dict(self.losses),
            "use": list(self.use),
        }


def convert_data(
    sources: Mapping[str, AnnotationSource],
    *,
    to: Format,
    out: Path,
    links_pictures: bool = False,
    as_polygons: bool = False,
) -> Generator[WorkProgress, None, ConversionReport]:
    """Write the parts of a data set in another format, as a new folder that appears whole or not at all.

    Pictures of a COCO data set stay where they are; the other formats have them in their folder.

    Args:
        sources: By the name that a part gets.
        to: The format.
        out: The folder; it must not exist.
        links_pictures: Whether pictures are symbolic links to where they are, and not copies.
        as_polygons: Whether YOLO's lines are polygons and not boxes.

    Raises:
        DataError: Annotations cannot be read or have errors, or pictures are missing.
        OutputError: The folder exists, or cannot be written.
        SpecError: Something is asked for that the format does not have.
    """
    _refuse_contradictions(sources, to, links_pictures=links_pictures, as_polygons=as_polygons)
    refuse_unwritable_folder(out.parent, option="OUT")
    if os.path.lexists(out):
        raise OutputError(f"{out}: exists already; name a new folder")
    parts, losses = list[ReadPart](), Losses()
    for name, source in sources.items():
        yield WorkProgress(f"reading {source.path.name}")
        part = _read(source, name, losses, to)
        parts.append(_with_classes_of(parts[0], part, losses) if parts else part)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            folder = temporary / out.name
            folder.mkdir()
            writers: Mapping[Format, Callable[[], Generator[WorkProgress, None, None]]] = {
                "coco": lambda: write_coco(parts, folder),
                "yolo": lambda: write_yolo(
                    parts, folder, losses, links=links_pictures, as_polygons=as_polygons
                ),
                "voc": lambda: write_voc(parts, folder, losses, links=links_pictures),
            }
            yield from writers[to]()
            folder.rename(out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written: {error.strerror or error}") from error
    return ConversionReport(
        out,
        to,
        {part.described.name: len(part.described.pictures) for part in parts},
        {part.described.name: part.described.num_objects for part in parts},
        dict(+losses),
        _use_of(parts, to, out),
    )


def _refuse_contradictions(
    sources: Mapping[str, AnnotationSource], to: Format, *, links_pictures: bool, as_polygons: bool
) -> None:
    if to == "yolo" and (others := [name for name in sources if name not in SPLITS]):
        raise SpecError(
            [
                f"--to yolo: YOLO's parts are train, val and test, not {first_few(others)}; convert one with "
                "--split NAME, which becomes train"
            ]
        )
    if to == "coco" and links_pictures:
        raise SpecError(["--link is about pictures, which stay where they are with --to coco"])
    if to != "yolo" and as_polygons:
        raise SpecError(["--polygons is about the lines of YOLO: --to yolo"])
    lacking = [source.path for source in sources.values() if source.images is None]
    if to != "coco" and lacking:
        raise SpecError(
            [f"--to {to} has the pictures in its folder: name those of {lacking[0].name} with --images"]
        )


def _read(source: AnnotationSource, name: str, losses: Losses, to: Format) -> ReadPart:
    """Read a part.

    Args:
        source: Where it is.
        name: What it is called.
        losses: Is told what of it no format but its own can say.
        to: What it becomes.

    Raises:
        DataError: It has errors.
        SpecError: It is what it is to become.
    """
    log = ProblemLog(num_described=1)
    with without_cycle_search():
        whole = source.read_whole(log)
        file = with_coco_boxes(check_annotations(whole, log), log, form=None)  # of another form is an error
        check_masks(file.annotations, file.pictures.sizes, log, file=source.path.name, matter=False)
    errors = {kind: count for kind, count in log.counts.items() if kind.is_error or kind.refused_with_masks}
    if errors:
        first = next(problem for problem in log.described() if problem.kind in errors)
        where = f"{first.file}: {first.item}" if first.item else first.file
        raise DataError(
            f"{source.path}: has {counted(sum(errors.values()), 'error')}, first {where}: {first.what}. "
            f"{command('hrdet', 'check-data', *source.arguments)} names all of them"
        )
    lost = losses_of(file) if isinstance(source, CocoFile) else whole.unread
    document = None
    if to == "coco" and isinstance(source, CocoFile):
        if LOOKED_THROUGH not in lost:
            raise SpecError(
                [
                    f"--to coco: {source.path.name} is COCO's JSON already; hrdet check-data --fix-out "
                    "cleans it"
                ]
            )
        document, lost = document_of_lvis(file), {LOOKED_THROUGH: lost[LOOKED_THROUGH]}
    losses.update(lost)
    return ReadPart(describe_part(file, name), source.images, document)


def _with_classes_of(first: ReadPart, part: ReadPart, losses: Losses) -> ReadPart:
    """A part with the labels of the first: a data set has one list of classes.

    Raises:
        DataError: It has other classes.
    """
    names, described = first.described.class_names, part.described
    if differences := differences_of_classes(names, described.class_names):
        raise DataError(
            f"{described.name}: its classes are not those of {first.described.name}: {differences}. Give all "
            "parts the same list of categories"
        )
    if part.document is None:
        losses["classes in another order than in the first part"] += sum(
            one != other for one, other in zip(names, described.class_names, strict=True)
        )
    return replace(part, described=described.with_classes(names))


def _use_of(parts: Sequence[ReadPart], to: Format, out: Path) -> list[str]:
    """What of the command line of ``hrdet train`` takes the result."""
    if to != "coco":
        return ["--train-data", str(out / "data.yaml" if to == "yolo" else out)]
    words = []
    for part in parts:
        name = part.described.name
        if name in ("train", "val"):
            words += [f"--{name}-data", str(out / f"{name}.json"), str(part.root or "IMAGES")]
    return words
