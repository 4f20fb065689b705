"""Where annotations come from, whatever their format."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hrdet_cli.engine.data.annotation_file import AnnotationFile, read_annotation_file
from hrdet_cli.engine.data.checking.annotations import JsonFile, read_json
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.json_text import fingerprint_of


class AnnotationSource(Protocol):
    """Annotations of some pictures; can be pickled.

    Attributes:
        path: What was named: COCO's JSON file, YOLO's ``data.yaml`` or the folder of a VOC data set.
        split: Which part of it, where it has several.
        images: Folder or archive with the pictures; None where nobody named COCO's.
        arguments: What names it on the command line of ``hrdet check-data``.
    """

    @property
    def path(self) -> Path: ...  # noqa: D102 - attributes are above
    @property
    def split(self) -> str | None: ...  # noqa: D102
    @property
    def images(self) -> Path | None: ...  # noqa: D102
    @property
    def arguments(self) -> tuple[str | Path, ...]: ...  # noqa: D102

    def read(self, *, with_segmentations: bool) -> AnnotationFile:
        """Read all there is, as COCO's three lists.

        Raises:
            DataError: It cannot be read, or is not as its format is; lists the problems.
        """

    def read_whole(self, log: ProblemLog) -> JsonFile:
        """The same for somebody who looks at every problem, as COCO's document.

        Args:
            log: Is told what the format's own files have wrong; what is wrong is not in the document.

        Raises:
            DataError: It cannot be read at all.
        """

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all that makes the annotations what they are, pictures apart.

        Raises:
            DataError: It cannot be read.
        """


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A JSON file in COCO's format; see ``AnnotationSource``."""

    path: Path
    images: Path | None = None

    @property
    def split(self) -> None:
        """A file is one part."""
        return None

    @property
    def arguments(self) -> tuple[str | Path, ...]:
        """See ``AnnotationSource``."""
        return (self.path,) if self.images is None else (self.path, self.images)

    def read(self, *, with_segmentations: bool) -> AnnotationFile:
        """See ``AnnotationSource``."""
        return read_annotation_file(self.path, images=self.images, with_segmentations=with_segmentations)

    def read_whole(self, log: ProblemLog) -> JsonFile:  # noqa: ARG002 - has no files of its own
        """See ``AnnotationSource``."""
        return read_json(self.path)

    def fingerprint(self) -> str:
        """See ``AnnotationSource``."""
        return fingerprint_of(self.path)
