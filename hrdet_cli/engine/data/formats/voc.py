"""Pascal VOC's data sets: an XML document for each picture, and lists of pictures for each part."""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.activity import each
from hrdet_cli.engine.data.annotation_file import AnnotationFile
from hrdet_cli.engine.data.annotation_table import Problems
from hrdet_cli.engine.data.annotation_values import FILE_NAME, NAME, Kind
from hrdet_cli.engine.data.checking.annotations import JsonFile
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.formats.reading import Reading
from hrdet_cli.engine.data.formats.text_lines import lines_of
from hrdet_cli.engine.data.formats.voc_reading import read_documents
from hrdet_cli.engine.data.formats.voc_xml import VocPicture, read_voc_xml
from hrdet_cli.engine.data.places import Place
from hrdet_cli.errors import DataError
from hrdet_cli.wording import counted, first_few

CLASS_LIST = "classes.txt"
"""A class a line, in the order of the labels; without it the order is the alphabet's."""


@dataclass(frozen=True, slots=True)
class VocPart:
    """One part of a VOC data set; see ``AnnotationSource``.

    The classes are those in ``classes.txt``, or else all that occur in any document of the data set, in
    alphabetical order, so that all parts have the same ones.

    Attributes:
        path: The folder of the data set.
        split: Name of the image set; None where there are none, and the part is every document.
        documents: Folder of the XML documents.
        images: Folder of the pictures.
        image_set: The text with the names of the part's pictures, without endings; None likewise.
    """

    path: Path
    split: str | None
    documents: Path
    images: Path
    image_set: Path | None

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """See ``AnnotationSource``."""
        return (self.path,) if self.split is None else (self.path, "--split", self.split)

    def read(self, *, with_segmentations: bool) -> AnnotationFile:  # noqa: ARG002 - VOC's boxes have none
        """See ``AnnotationSource``."""
        named = f"{self.path}" if self.split is None else f"{self.path} ({self.split})"
        refusal = f"{named} is not a VOC data set that can be used. Mend it"
        return self.read_entries().to_file(Problems(refusal, self.arguments))

    def read_whole(self, log: ProblemLog) -> JsonFile:
        """See ``AnnotationSource``."""
        return self.read_entries().to_whole(self.path, log)

    def fingerprint(self) -> str:
        """See ``AnnotationSource``."""
        texts = self._texts()
        return _fingerprint_of(texts, self._class_names(_parsed(texts)))

    def read_entries(self) -> Reading:
        """Everything the part says.

        Raises:
            DataError: A list cannot be read, or the part or the list of classes is empty.
        """
        texts = self._texts()
        documents = _parsed(texts)
        class_names = self._class_names(documents)
        folder = f"{self.documents}{os.sep}".removeprefix(f"{self.path}{os.sep}")
        return read_documents(
            {Place(f"{folder}{name}.xml"): document for name, document in documents.items()},
            class_names,
            images=self.images,
            class_place=lambda row: Place(CLASS_LIST, f"line {row + 1}"),
            remarks=self._remarks(class_names),
            fingerprint=_fingerprint_of(texts, class_names),
        )

    def _documents(self) -> list[Path]:
        """All of them, in alphabetical order."""
        return sorted(filter(is_document, self.documents.glob("*")))

    def _texts(self) -> dict[str, bytes | None]:
        """What the part's documents hold, by the names of their pictures; None where one is not there."""
        documents = self._documents()
        path_by_name = {path.stem: path for path in documents}
        names = [path.stem for path in documents]
        if self.image_set is not None:
            names = _lines_of(self.image_set, FILE_NAME)
            if any(_has_number(name) and name not in path_by_name for name in names):
                raise DataError(
                    f"{self.image_set}: is the image set of one class, with a number behind each name; give "
                    "that of all classes."
                )
        where = self.image_set or self.documents
        if not names:
            raise DataError(f"{where}: is empty.")
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{where}: names {counted(len(twice), 'picture')} twice: {first_few(twice)}.")
        what = f"reading annotations of {self.path.name}"
        files = each(names, what, num_in_all=len(names), unit="files")
        return {name: _bytes_of(path_by_name.get(name, self.documents / f"{name}.xml")) for name in files}

    def _class_names(self, documents: Mapping[str, VocPicture | str]) -> list[str]:
        """In the order of the labels.

        Raises:
            DataError: There are none, or one is listed twice.
        """
        if (listed := self.path / CLASS_LIST).exists():
            names = _lines_of(listed, NAME)
            if not names or len(set(names)) < len(names):
                raise DataError(f"{listed}: {'lists a class twice' if names else 'is empty'}.")
            return names
        others = {path.stem: _bytes_of(path) for path in self._documents() if path.stem not in documents}
        read = [*documents.values(), *_parsed(others).values()]
        found = set[str]().union(
            *(document.class_names for document in read if not isinstance(document, str))
        )
        if not found:
            raise DataError(f"{self.documents}: no document has an object, so there are no classes.")
        return sorted(found)

    def _remarks(self, class_names: Sequence[str]) -> tuple[str, ...]:
        part = "every document" if self.image_set is None else f"image set {self.split}"
        listed = (self.path / CLASS_LIST).exists()
        order = f"as {CLASS_LIST} lists them" if listed else "all that occur, in alphabetical order"
        return (
            f"VOC, {part}: documents in {self.documents}, pictures in {self.images}; "
            f"{counted(len(class_names), 'class', 'classes')}, {order}",
        )


def is_document(path: Path) -> bool:
    """Whether a file may be one, whatever the capitals of its ending; what macOS puts beside them is none."""
    return path.suffix.lower() == ".xml" and not path.name.startswith("._")


def _has_number(line: str) -> bool:
    """Whether a line of an image set ends as those of one class do, if that is no part of a name."""
    return len(words := line.split()) > 1 and words[-1] in ("-1", "0", "1")


def _fingerprint_of(texts: Mapping[str, bytes | None], class_names: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(class_names).encode())
    for name, text in texts.items():
        digest.update(f"\n{name!r} {len(text or b'')}\n".encode())
        digest.update(text or b"")
    return digest.hexdigest()


def _parsed(texts: Mapping[str, bytes | None]) -> dict[str, VocPicture | str]:
    """Documents by the names of their pictures; a text that says why there is none."""
    parsed: dict[str, VocPicture | str] = {}
    for name, text in each(texts.items(), "reading annotations", num_in_all=len(texts), unit="files"):
        try:
            parsed[name] = "is not there" if text is None else read_voc_xml(text)
        except ValueError as error:
            parsed[name] = str(error)
    return parsed


def _bytes_of(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _lines_of(path: Path, kind: Kind) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        DataError: It cannot be read, or has a line of another kind.
    """
    try:
        all_lines = lines_of(_bytes_of(path) or b"")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start:,})") from error
    lines = {number: line.strip() for number, line in enumerate(all_lines, start=1) if line.strip()}
    for number, line in lines.items():
        if not kind.is_valid(line):
            raise DataError(f"{path}: line {number}: {line!r:.60}; expected {kind.expected}")
    return list(lines.values())
