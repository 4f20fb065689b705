"""``hrdet convert``: annotations of one format in, a data set of another out."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from hrdet_cli.engine.data.annotation_file import without_cycle_search
from hrdet_cli.engine.data.checking.annotations import CheckedFile, check_annotations
from hrdet_cli.engine.data.checking.cleaning import json_lines
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.formats.conversion import (
    DescribedPart,
    Losses,
    coco_document,
    describe_part,
    losses_of,
)
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.formats.voc import CLASS_LIST
from hrdet_cli.engine.data.formats.voc_writing import voc_document
from hrdet_cli.engine.data.formats.yolo import label_file_of
from hrdet_cli.engine.data.formats.yolo_writing import data_yaml, label_text
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.errors import DataError, OutputError, SpecError
from hrdet_cli.runs.output_files import refuse_unwritable_folder
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.yolo_yaml import SPLITS
from hrdet_cli.wording import command, counted, first_few

Format = Literal["coco", "yolo", "voc"]
_PICTURES_AT_ONCE = 100


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


@dataclass(frozen=True, slots=True)
class _Part:
    """A part as it was read, and where its pictures are."""

    described: DescribedPart
    root: Path | None
    losses: Losses


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
    parts: list[_Part] = []
    for name, source in sources.items():
        yield WorkProgress(f"reading {source.path.name}")
        parts.append(_read(source, name))
    if len({part.described.class_names for part in parts}) > 1:
        raise DataError("the parts have different classes; give all of them the same list of categories")
    losses = sum((part.losses for part in parts), Losses())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        try:
            folder = temporary / out.name
            folder.mkdir()
            writers: Mapping[Format, Callable[[], Generator[WorkProgress, None, None]]] = {
                "coco": lambda: _write_coco(parts, folder),
                "yolo": lambda: _write_yolo(
                    parts, folder, losses, links=links_pictures, as_polygons=as_polygons
                ),
                "voc": lambda: _write_voc(parts, folder, losses, links=links_pictures),
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
    if to == "coco" and any(isinstance(source, CocoFile) for source in sources.values()):
        raise SpecError(["--to coco: it is COCO's JSON already; hrdet check-data --fix-out cleans it"])
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
    if to != "coco" and any(source.images is None for source in sources.values()):
        raise SpecError(
            [f"--to {to} has the pictures in its folder: name those of COCO's JSON with --images"]
        )


def _read(source: AnnotationSource, name: str) -> _Part:
    """Read a part.

    Raises:
        DataError: It has errors.
    """
    log = ProblemLog(num_described=1)
    with without_cycle_search():
        file: CheckedFile = check_annotations(source.read_whole(log), log)
        check_masks(file.annotations, file.pictures.sizes, log, file=source.path.name, matter=False)
    errors = {kind: count for kind, count in log.counts.items() if kind.is_error or kind.refused_with_masks}
    if errors:
        first = next(problem for problem in log.described() if problem.kind in errors)
        where = f"{first.file}: {first.item}" if first.item else first.file
        raise DataError(
            f"{source.path}: has {counted(sum(errors.values()), 'error')}, first {where}: {first.what}. "
            f"{command('hrdet', 'check-data', *source.arguments)} names all of them"
        )
    losses = losses_of(file) if isinstance(source, CocoFile) else Losses()
    return _Part(describe_part(file, name), source.images, losses)


def _write_coco(parts: Sequence[_Part], folder: Path) -> Generator[WorkProgress, None, None]:
    for part in parts:
        yield WorkProgress(f"writing {part.described.name}.json")
        with (folder / f"{part.described.name}.json").open("x", encoding="utf-8") as file:
            file.writelines(json_lines(coco_document(part.described)))


def _write_yolo(
    parts: Sequence[_Part], folder: Path, losses: Losses, *, links: bool, as_polygons: bool
) -> Generator[WorkProgress, None, None]:
    for part in parts:
        name, pictures = part.described.name, part.described.pictures
        names = [picture.file_name for picture in pictures]
        _refuse_one_name(part, [str(PurePosixPath(file_name).with_suffix("")) for file_name in names])
        yield from _place_pictures(part, folder / "images" / name, names, links=links)
        for picture in pictures:
            labels = label_file_of(folder / "images" / name / picture.file_name)
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(label_text(picture, losses, as_polygons=as_polygons), encoding="utf-8")
    places = {part.described.name: f"images/{part.described.name}" for part in parts}
    (folder / "data.yaml").write_text(data_yaml(places, parts[0].described.class_names), encoding="utf-8")


def _write_voc(
    parts: Sequence[_Part], folder: Path, losses: Losses, *, links: bool
) -> Generator[WorkProgress, None, None]:
    image_sets = folder / "ImageSets" / "Main"
    for inner in (folder / "Annotations", image_sets):
        inner.mkdir(parents=True)
    class_names = parts[0].described.class_names
    taken: list[str] = []
    for part in parts:
        pictures = part.described.pictures
        names = [PurePosixPath(picture.file_name).name for picture in pictures]
        taken += [PurePosixPath(name).stem for name in names]
        _refuse_one_name(part, taken)
        moved = sum(name != picture.file_name for name, picture in zip(names, pictures, strict=True))
        losses["folders of pictures, for all of them are in one"] += moved
        yield from _place_pictures(part, folder / "JPEGImages", names, links=links)
        for name, picture in zip(names, pictures, strict=True):
            document = voc_document(picture, class_names, losses, file_name=name)
            (folder / "Annotations" / name).with_suffix(".xml").write_bytes(document)
        listed = "".join(f"{PurePosixPath(name).stem}\n" for name in names)
        (image_sets / f"{part.described.name}.txt").write_text(listed, encoding="utf-8")
    (folder / CLASS_LIST).write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")


def _refuse_one_name(part: _Part, stems: Sequence[str]) -> None:
    """Labels are called as pictures are, but for the ending.

    Raises:
        DataError: Two pictures would have the same labels.
    """
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataError(
            f"{part.described.name}: {counted(len(twice), 'name')} of several pictures: {first_few(twice)}. "
            "There labels are called as their picture is, without ending and folder: give them other names."
        )


def _place_pictures(
    part: _Part, folder: Path, names: Sequence[str], *, links: bool
) -> Generator[WorkProgress, None, None]:
    """Copy or link the pictures of a part.

    Raises:
        DataError: One is not there, or links are wanted to what is in an archive.
    """
    root = part.root or Path()
    if links and not root.is_dir():
        raise DataError(f"{root} is an archive, into which no link leads: leave --link away")
    images = open_images(root)
    given = [picture.file_name for picture in part.described.pictures]
    found = images.find(given)
    if found.missing:
        raise DataError(
            f"{root}: {counted(len(found.missing), 'picture')} missing: {first_few(found.missing)}; "
            f"{found.missing[0]} {images.why_missing(found.missing[0])}"
        )
    for position, (file_name, name) in enumerate(zip(given, names, strict=True)):
        if position % _PICTURES_AT_ONCE == 0:
            yield WorkProgress(f"pictures of {part.described.name}", position, len(names))
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if links:
            target.symlink_to((root / found.file_by_name.get(file_name, file_name)).absolute())
        else:
            target.write_bytes(images.read(file_name))


def _use_of(parts: Sequence[_Part], to: Format, out: Path) -> list[str]:
    """What of the command line of ``hrdet train`` takes the result."""
    if to != "coco":
        return ["--train-data", str(out / "data.yaml" if to == "yolo" else out)]
    words = []
    for part in parts:
        name = part.described.name
        if name in ("train", "val"):
            words += [f"--{name}-data", str(out / f"{name}.json"), str(part.root)]
    return words
