"""What format a path is of: COCO's JSON, YOLO's ``data.yaml`` or a VOC folder, by what is there.

A file that ends in ``.yaml`` or ``.yml`` is YOLO's, a folder with one such file YOLO's data set, one with XML
documents VOC's; every other file is read as COCO's JSON. What could be two things is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.formats.voc import VocPart, is_document
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.yolo_yaml import read_yolo_yaml
from hrdet_cli.specs.data import DatasetSpec, PartName
from hrdet_cli.wording import command, first_few

_YAML = (".yaml", ".yml")
_DOCUMENTS, _PICTURES = ("annotations",), ("jpegimages", "images")
_IMAGE_SETS = Path("ImageSets") / "Main"


class DataSet(Protocol):
    """A data set that is no COCO file."""

    @property
    def path(self) -> Path:
        """What names it."""

    @property
    def splits(self) -> Sequence[str]:
        """Names of its parts; none where it is one."""

    def part(self, split: str | None) -> AnnotationSource:
        """One part; all there is for None, where there are no parts.

        Raises:
            DataError: There is no such part.
        """


@dataclass(frozen=True, slots=True)
class VocFolder:
    """A folder with VOC's documents; see ``DataSet``.

    Attributes:
        path: The folder.
        documents: Where its XML documents are.
        images: Where its pictures are.
        image_sets: The text of each image set by its name; none where there are none.
    """

    path: Path
    documents: Path
    images: Path
    image_sets: Mapping[str, Path]

    @property
    def splits(self) -> Sequence[str]:
        """See ``DataSet``."""
        return tuple(self.image_sets)

    def part(self, split: str | None) -> VocPart:
        """See ``DataSet``."""
        image_set = None if split is None else self.image_sets.get(split)
        if split is not None and image_set is None:
            there = f"there are: {first_few(self.splits, 10)}" if self.splits else "there are none"
            raise DataError(f"{self.path}: has no image set {split!r:.60} in {_IMAGE_SETS}; {there}.")
        return VocPart(self.path, split, self.documents, self.images, image_set)


def recognise(path: Path) -> DataSet | None:
    """A data set that is no COCO file; None for any file that may be one, there or not.

    Raises:
        DataError: A folder is none that is known, or could be several; or ``data.yaml`` cannot be used.
    """
    if path.suffix.lower() in _YAML and not path.is_dir():
        return read_yolo_yaml(path)
    if not path.is_dir():
        return None
    yamls = sorted(file for file in path.iterdir() if file.suffix.lower() in _YAML)
    voc = _voc_folder(path)
    if len(yamls) > 1 or (yamls and voc is not None):
        both = "" if voc is None else ", and VOC's XML documents"
        raise DataError(
            f"{path}: could be several data sets: it has {first_few([file.name for file in yamls])}{both}. "
            "Give the .yaml file itself, or move the other away."
        )
    if yamls:
        return read_yolo_yaml(yamls[0])
    if voc is None:
        raise DataError(f"{path}: {_what_is_in(path)}")
    return voc


def refuse_missing_annotations(path: Path) -> None:
    """What a path names must be there, whatever it is.

    Raises:
        DataError: It is not.
    """
    if not path.exists():
        raise DataError(
            f"{path}: {why_no_file(path)}; give COCO's JSON, YOLO's data.yaml or a Pascal VOC folder"
        )


def find_source(located: DatasetSpec, part: PartName, key: str | None = None) -> AnnotationSource:
    """The annotations that a part of an experiment names.

    Args:
        located: Where it is.
        part: Which one it is: says what split is meant where none is named.
        key: Of its section in the spec, dotted; by default that of the part's only data set.

    Raises:
        DataError: Nothing is there that is known, or it has no such split, or things are named that do not go
            together.
    """
    key = key or f"data.{part}"
    found = recognise(located.annotations)
    if found is None:
        if located.split is not None:
            raise DataError(
                f"{key}.split is {located.split}, but {located.annotations} is a COCO file, which has "
                f"no parts. Take it out: --set {key}.split=null"
            )
        return CocoFile(located.annotations, located.images)
    if located.images is not None:
        raise DataError(
            f"{located.annotations} says itself where its pictures are; {key}.images "
            f"({located.images}) is for COCO's JSON. Take it out: --set {key}.images=null"
        )
    split = located.split
    if split is None and found.splits:
        if part not in found.splits:
            raise DataError(
                f"{located.annotations}: has no part {part}; there are: {first_few(found.splits, 10)}. Name "
                f"one: --set {key}.split=NAME"
            )
        split = part
    return found.part(split)


def find_parts(path: Path, images: Path | None, split: str | None) -> list[AnnotationSource]:
    """All parts of what a path names, or the one that is named.

    Args:
        path: As of `recognise`.
        images: Folder or archive with a COCO file's pictures; None where nobody named it.
        split: The part; None for all, that is the training, validation and test part where there are any of
            these, for VOC has image sets that are made of others.

    Raises:
        DataError: There is no such part, or there are things that do not go together.
    """
    refuse_missing_annotations(path)
    found = recognise(path)
    if found is None:
        if split is not None:
            raise DataError(f"--split {split}: {path} is a COCO file, which has no parts; leave --split away")
        return [CocoFile(path, images)]
    if images is not None:
        raise DataError(f"{path} says itself where its pictures are; leave {images} away")
    if split is not None or not found.splits:
        return [found.part(split)]
    names = [name for name in ("train", "val", "test") if name in found.splits]
    return [found.part(name) for name in names or found.splits]


def names_validation(path: Path) -> bool:
    """Whether a data set says what to evaluate on.

    Raises:
        DataError: As of `recognise`.
    """
    found = recognise(path)
    return found is not None and "val" in found.splits


def _voc_folder(path: Path) -> VocFolder | None:
    documents = _inner(path, _DOCUMENTS)
    if documents is None or not _has_documents(documents):
        documents = path
        if not _has_documents(path):
            return None
    image_sets = {file.stem: file for file in sorted((path / _IMAGE_SETS).glob("*.txt"))}
    return VocFolder(path, documents, _inner(path, _PICTURES) or path, image_sets)


def _inner(path: Path, names: Sequence[str]) -> Path | None:
    """A folder inside, whatever its capitals; of several names the first there is."""
    by_name = {folder.name.lower(): folder for folder in sorted(path.iterdir()) if folder.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


def _has_documents(folder: Path) -> bool:
    return any(map(is_document, folder.glob("*")))


def _what_is_in(path: Path) -> str:
    """What to give in place of a folder that is no data set."""
    for inner in sorted(folder for folder in path.iterdir() if folder.is_dir()):
        if _voc_folder(inner) is not None or any(file.suffix.lower() in _YAML for file in inner.iterdir()):
            return f"is no data set itself; give {command(inner)}."
    jsons = sorted(str(file.relative_to(path)) for file in [*path.glob("*.json"), *path.glob("*/*.json")])
    if jsons:
        return (
            f"is a folder, not COCO annotations. There are in it: {first_few(jsons)}: give one of them and "
            "the folder of its pictures."
        )
    return (
        "is a folder without a .yaml file as YOLO's, XML documents as VOC's or .json files as COCO's. Give "
        "one of these."
    )
