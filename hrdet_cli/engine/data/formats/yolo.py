"""YOLO's data sets as ultralytics reads them: a text beside each picture, a line for each object.

Sources: ``ultralytics/data/utils.py`` of ultralytics 8.3 for where labels lie (``img2label_paths``) and what
their lines may be (``verify_image_label``). Two things differ. There, one line of more than six values
makes every line of its file a polygon, those of boxes too; here each line tells for itself. And there a
picture with a faulty line is left out with a warning.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hrdet_cli.activity import each
from hrdet_cli.engine.data.annotation_file import AnnotationFile, CategoryEntry, ImageEntry
from hrdet_cli.engine.data.annotation_table import Problems
from hrdet_cli.engine.data.checking.annotations import JsonFile
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_LABEL_FILE,
    UNREADABLE_PICTURE,
    ProblemLog,
)
from hrdet_cli.engine.data.formats.picture_headers import read_sizes
from hrdet_cli.engine.data.formats.reading import Fault, OutlinedEntry, Reading
from hrdet_cli.engine.data.formats.text_lines import lines_of
from hrdet_cli.engine.data.formats.yolo_lines import FaultyLine, read_lines
from hrdet_cli.engine.data.picture_listing import list_pictures
from hrdet_cli.engine.data.places import Place
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError
from hrdet_cli.wording import counted, first_few, is_showable

_IMAGES, _LABELS = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"


@dataclass(frozen=True, slots=True)
class YoloPart:
    """One part of a YOLO data set; see ``AnnotationSource``.

    Attributes:
        path: Its ``data.yaml``.
        split: The part's key in it, such as ``train``.
        places: Folders with its pictures, in subfolders too, or texts that list them, a path a line.
        class_names: K names by label.
        remarks: What was decided where ``data.yaml`` was read, a sentence each.
    """

    path: Path
    split: str
    places: tuple[Path, ...]
    class_names: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @property
    def images(self) -> Path:
        """The folder that all its pictures lie in.

        Raises:
            DataError: They have none in common, or a list cannot be read.
        """
        folders = {
            folder
            for place in self.places
            for folder in ([place] if place.is_dir() else {path.parent for path in _listed(place)})
        }
        common = Path(os.path.commonpath(folders)) if folders else self.path.parent
        if len(folders) > 1 and common == Path(common.anchor):
            raise DataError(
                f"{self.path}: the pictures of {self.split} have no folder in common but {common}: "
                f"{first_few(sorted(map(str, folders)))}. Put them, or links to them, under one folder."
            )
        return common

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """See ``AnnotationSource``."""
        return (self.path, "--split", self.split)

    def read(self, *, with_segmentations: bool) -> AnnotationFile:  # noqa: ARG002 - they are cheap here
        """See ``AnnotationSource``."""
        return self.read_entries().to_file(
            Problems(
                f"{self.path} ({self.split}) is not a YOLO data set that can be used. Mend it", self.arguments
            )
        )

    def read_whole(self, log: ProblemLog) -> JsonFile:
        """See ``AnnotationSource``."""
        return self.read_entries().to_whole(self.path, log)

    def fingerprint(self) -> str:
        """See ``AnnotationSource``."""
        pictures = self._list()
        return self._fingerprint_of(pictures, [_bytes_of(_label_path(path)) for path in pictures])

    def read_entries(self) -> Reading:
        """Everything the part says.

        Raises:
            DataError: It has no pictures, or none of them has a label file.
        """
        pictures, root_length = self._list(), _length_of(self.images)
        label_paths = [_label_path(path) for path in pictures]
        what, number = f"reading labels of {self.path.name}", len(pictures)
        texts = [_bytes_of(path) for path in each(label_paths, what, num_in_all=number, unit="files")]
        self._require_labels(pictures, label_paths, texts)
        folder = f"{os.path.normpath(self.path.parent.absolute())}{os.sep}"
        images: list[ImageEntry] = []
        annotations: list[OutlinedEntry] = []
        image_places: list[Place] = []
        line_places: list[tuple[int, int]] = []  # row of the picture, number of the line
        faults: list[Fault] = []
        files = zip(pictures, label_paths, texts, read_sizes(pictures), strict=True)
        what = f"reading sizes of pictures of {self.path.name}"
        for path, label_path, text, size in each(files, what, num_in_all=number, unit="pictures"):
            name, label_file = path[root_length:], label_path.removeprefix(folder)
            if not isinstance(size, Size):
                faults.append(Fault(UNREADABLE_PICTURE, Place(name), size))
                continue
            try:
                lines = read_lines(text or b"", size, num_classes=len(self.class_names))
            except ValueError as error:
                faults.append(Fault(BROKEN_LABEL_FILE, Place(label_file), str(error)))
                continue
            image_id = len(images) + 1
            images.append(ImageEntry(image_id, name, size.height, size.width))
            image_places.append(Place(label_file))
            for line in lines:
                if isinstance(line, FaultyLine):
                    faults.append(Fault(line.kind, Place(label_file, f"line {line.number}"), line.what))
                    continue
                annotations.append(line.to_entry(len(annotations) + 1, image_id))
                line_places.append((image_id - 1, line.number))

        def place_of_line(row: int) -> Place:
            image_row, number = line_places[row]
            return Place(image_places[image_row].file, f"line {number}")

        return Reading(
            images=images,
            annotations=annotations,
            categories=[CategoryEntry(label + 1, name) for label, name in enumerate(self.class_names)],
            places={
                "images": image_places.__getitem__,
                "annotations": place_of_line,
                "categories": lambda row: Place(self.path.name, f"names[{row}]"),
            },
            faults=faults,
            notes=(*self.remarks, *self._notes_of(label_paths, texts)),
            fingerprint=self._fingerprint_of(pictures, texts),
        )

    def _require_labels(
        self, pictures: Sequence[str], label_paths: Sequence[str], texts: Sequence[bytes | None]
    ) -> None:
        """Without any label file, they lie somewhere else.

        Raises:
            DataError: There is none.
        """
        if all(text is None for text in texts):
            if not os.path.lexists(pictures[0]):
                raise DataError(
                    f"{self.path}: {self.split} lists {pictures[0]}, which is not there, nor any label file. "
                    "In a list, paths that begin with ./ start where it lies, others at the current folder."
                )
            raise DataError(
                f"{self.path}: none of the {counted(len(pictures), 'picture')} of {self.split} has a label "
                f"file. {pictures[0]} would have {label_paths[0]}: labels lie in a folder 'labels' beside "
                "the folder 'images', or beside their pictures."
            )

    def _list(self) -> list[str]:
        """Paths of its pictures, in alphabetical order."""
        pictures = [path for place in self.places for path in _pictures_at(place)]
        if not pictures:
            raise DataError(
                f"{self.path}: {self.split} has no pictures: there are none in "
                f"{first_few(list(self.places))}."
            )
        in_order = sorted(pictures)
        twice = [one for one, other in pairwise(in_order) if one == other]
        if twice:
            raise DataError(
                f"{self.path}: {self.split} has {counted(len(twice), 'picture')} twice: {first_few(twice)}."
            )
        return in_order

    def _notes_of(self, label_paths: Sequence[str], texts: Sequence[bytes | None]) -> Iterator[str]:
        num_without = sum(text is None for text in texts)
        told = f"YOLO, {self.split}: pictures in {first_few(list(self.places))}, labels in "
        folders = sorted({path.rpartition(os.sep)[0] for path in label_paths})
        yield told + first_few(folders)
        if num_without:
            yield (
                f"{counted(num_without, 'picture')} of {self.split} without a label file: taken for pictures "
                "without objects"
            )

    def _fingerprint_of(self, pictures: Sequence[str], texts: Sequence[bytes | None]) -> str:
        root_length = _length_of(self.images)
        digest = hashlib.sha256(repr(self.class_names).encode())
        for path, text in zip(pictures, texts, strict=True):
            digest.update(f"\n{os.fsencode(path[root_length:])!r} {len(text or b'')}\n".encode())
            digest.update(text or b"")
        return digest.hexdigest()


def label_file_of(picture: Path) -> Path:
    """Where a picture's labels lie: the last folder ``images`` of its path becomes ``labels``."""
    return Path(_label_path(str(picture)))


def _label_path(picture: str) -> str:
    """The same of texts: for many thousand pictures, paths of pathlib take as long as all the rest."""
    stem, _ = os.path.splitext(picture)  # noqa: PTH122
    return f"{_LABELS.join(stem.rsplit(_IMAGES, 1))}.txt"


def _length_of(root: Path) -> int:
    """How much of the path of a file below a folder is the folder's."""
    return len(str(root).rstrip(os.sep)) + 1


def _bytes_of(path: str) -> bytes | None:
    """What a label file holds; None where there is none."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _pictures_at(place: Path) -> list[str]:
    if not place.is_dir():
        return list(map(str, _listed(place)))
    listing = list_pictures(place)
    if listing.unreadable:
        raise DataError(f"{first_few(listing.unreadable)}: cannot be looked into")
    return [f"{place}{os.sep}{name}" for name in listing.names]


def _listed(place: Path) -> list[Path]:
    """The pictures that a text lists; a path that begins with ``./`` starts where the text lies.

    Raises:
        DataError: It cannot be read as a text.
    """
    text = _bytes_of(str(place))
    try:
        lines = lines_of(text or b"")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place} is no text in UTF-8; a part is a folder, or a text with a picture a line"
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if odd := [name for name in names if not is_showable(name)]:
        raise DataError(f"{place}: {odd[0]!r:.60} is no path of a picture")
    return [_listed_path(place, name) for name in names]


def _listed_path(place: Path, name: str) -> Path:
    """Where a line of a text leads; Windows writes backslashes between folders."""
    path = Path(os.path.normpath((place.parent if name.startswith("./") else Path.cwd()) / name))
    is_of_windows = "\\" in name and not path.exists()
    return _listed_path(place, name.replace("\\", "/")) if is_of_windows else path
