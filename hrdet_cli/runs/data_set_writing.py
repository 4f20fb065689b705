"""The files of a data set in a format, parts with their pictures, written into a folder."""

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hrdet_cli.engine.data.checking.cleaning import json_lines
from hrdet_cli.engine.data.formats.conversion import DescribedPart, Losses, coco_document
from hrdet_cli.engine.data.formats.picture_headers import read_sizes
from hrdet_cli.engine.data.formats.voc import CLASS_LIST
from hrdet_cli.engine.data.formats.voc_writing import voc_document
from hrdet_cli.engine.data.formats.yolo import label_file_of
from hrdet_cli.engine.data.formats.yolo_writing import data_yaml, label_text
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.picture_listing import looks_like_picture
from hrdet_cli.errors import DataError
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.wording import counted, first_few

_PICTURES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class ReadPart:
    """A part as it was read.

    Attributes:
        described: What it says.
        root: Where its pictures are; None where nobody says.
        document: COCO's document of it, where it was read as one; None where it is to be made.
    """

    described: DescribedPart
    root: Path | None
    document: Mapping[str, Any] | None = None


def write_coco(parts: Sequence[ReadPart], folder: Path) -> Generator[WorkProgress, None, None]:
    """A JSON file for each part; pictures stay where they are."""
    for part in parts:
        yield WorkProgress(f"writing {part.described.name}.json")
        with (folder / f"{part.described.name}.json").open("x", encoding="utf-8") as file:
            file.writelines(json_lines(part.document or coco_document(part.described)))


def write_yolo(
    parts: Sequence[ReadPart], folder: Path, losses: Losses, *, links: bool, as_polygons: bool
) -> Generator[WorkProgress, None, None]:
    """A ``data.yaml``, and pictures and labels of each part in folders of its name.

    Args:
        parts: With the same classes.
        folder: An empty one.
        losses: Is told what has no place there.
        links: Whether pictures are links to where they are.
        as_polygons: Whether all lines are polygons.

    Raises:
        DataError: Pictures are missing, or seen otherwise than annotated, or would have the same labels or be
            found by no reader.
    """
    for part in parts:
        name, pictures = part.described.name, part.described.pictures
        names = [picture.file_name for picture in pictures]
        _refuse_other_endings(part, names)
        _refuse_one_name(part, [str(PurePosixPath(file_name).with_suffix("")) for file_name in names])
        yield from _place_pictures(part, folder / "images" / name, names, links=links)
        _refuse_other_sizes(part, folder / "images" / name)
        losses["pictures in another order, for that of their names counts"] += sum(
            one != other for one, other in zip(names, sorted(names), strict=True)
        )
        for picture in pictures:
            labels = label_file_of(folder / "images" / name / picture.file_name)
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(label_text(picture, losses, as_polygons=as_polygons), encoding="utf-8")
    places = {part.described.name: f"images/{part.described.name}" for part in parts}
    (folder / "data.yaml").write_text(data_yaml(places, parts[0].described.class_names), encoding="utf-8")


def write_voc(
    parts: Sequence[ReadPart], folder: Path, losses: Losses, *, links: bool
) -> Generator[WorkProgress, None, None]:
    """Documents and pictures of all parts, an image set of each, and the classes; see `write_yolo`."""
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


def _refuse_other_endings(part: ReadPart, names: Sequence[str]) -> None:
    """YOLO lists no pictures: those of a folder are told by their names.

    Raises:
        DataError: Some would not be found again.
    """
    others = [name for name in names if not looks_like_picture(name)]
    if others:
        raise DataError(
            f"{part.described.name}: {counted(len(others), 'picture')} without an ending of pictures, by "
            f"which readers of YOLO tell them: {first_few(others)}. Rename the files, and name them so "
            "in the annotations"
        )


def _refuse_other_sizes(part: ReadPart, folder: Path) -> None:
    """YOLO says no sizes: labels are shares of the picture as people see it, which EXIF may turn.

    Raises:
        DataError: Pictures are of another size than their annotations say.
    """
    pictures = part.described.pictures
    seen = read_sizes([str(folder / picture.file_name) for picture in pictures])
    others = [
        f"{picture.file_name} ({size}, annotated as {picture.size})"
        for picture, size in zip(pictures, seen, strict=True)
        if size != picture.size
    ]
    if others:
        raise DataError(
            f"{part.described.name}: {counted(len(others), 'picture')} would be read with another size, for "
            f"YOLO's labels are shares of a picture as EXIF turns it: {first_few(others)}. Save them turned, "
            "or without an EXIF orientation"
        )


def _refuse_one_name(part: ReadPart, stems: Sequence[str]) -> None:
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
    part: ReadPart, folder: Path, names: Sequence[str], *, links: bool
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
