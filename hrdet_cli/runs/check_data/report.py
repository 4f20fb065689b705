"""What `hrdet check-data` found, part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.checking.problems import Problem, ProblemKind
from hrdet_cli.runs.anchor_advice import AnchorAdvice
from hrdet_cli.specs.data import PartName


@dataclass(frozen=True, slots=True)
class PartReport:
    """What one annotation file and its pictures are like.

    Attributes:
        part: Which part of an experiment; None for a file by itself.
        annotations: The file, or what else was named.
        split: Which part of a data set of several; None of a file.
        arguments: What names them on the command line of ``hrdet check-data``.
        images: Its image root; None where only the file was looked at.
        label_maps: Where the label maps of its pictures are; None where they were left alone.
        opened: Whether the pictures were opened, or only looked for.
        num_pictures: Entries of the file.
        num_annotations: Likewise.
        num_categories: Likewise.
        num_pictures_without_boxes: Entries that training would have no box of.
        num_categories_without_boxes: Categories that no box is of.
        num_unnamed_pictures: Pictures at the image root that no entry names; None without an image root.
        counts: How many problems of each kind; errors first.
        problems: The first of each kind.
        notes: What may be wrong with the data as a whole.
        can_be_mended: Whether a cleaned copy can be made.
        number: Which of several training data sets, counted from 1; None of the only one.
    """

    part: PartName | None
    annotations: Path
    split: str | None
    arguments: Sequence[str | Path]
    images: Path | None
    label_maps: Path | None
    opened: bool
    num_pictures: int
    num_annotations: int
    num_categories: int
    num_pictures_without_boxes: int
    num_categories_without_boxes: int
    num_unnamed_pictures: int | None
    counts: Mapping[ProblemKind, int]
    problems: Sequence[Problem]
    notes: Sequence[Problem]
    can_be_mended: bool
    number: int | None = None

    @property
    def num_errors(self) -> int:
        """Problems that training would refuse."""
        return sum(count for kind, count in self.counts.items() if kind.is_error)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "part": self.part,
            "number": self.number,
            "annotations": str(self.annotations),
            "split": self.split,
            "images": None if self.images is None else str(self.images),
            "label_maps": None if self.label_maps is None else str(self.label_maps),
            "opened": self.opened,
            "num_pictures": self.num_pictures,
            "num_annotations": self.num_annotations,
            "num_categories": self.num_categories,
            "num_pictures_without_boxes": self.num_pictures_without_boxes,
            "num_categories_without_boxes": self.num_categories_without_boxes,
            "num_unnamed_pictures": self.num_unnamed_pictures,
            "counts": [
                {"kind": kind.name, "severity": kind.severity, "count": count, "fix": kind.fix}
                for kind, count in self.counts.items()
            ],
            "problems": [
                {
                    "severity": problem.kind.severity,
                    "kind": problem.kind.name,
                    "file": problem.file,
                    "item": problem.item or None,
                    "what": problem.what,
                    "count": problem.count,
                }
                for problem in self.problems
            ],
            "notes": [note.what for note in self.notes],
            "kinds_of_notes": [note.kind.name for note in self.notes],
            "can_be_mended": self.can_be_mended,
        }


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A cleaned file that was written."""

    path: Path
    num_pictures_left_out: int
    num_pictures_changed: int
    num_annotations_left_out: int
    num_annotations_changed: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """What data are like.

    Attributes:
        parts: One, or those of an experiment.
        cleaned: The cleaned file; None where none was asked for, or none can be made.
        why_not_cleaned: Why none can be made.
        anchors: Those of an experiment and better ones; None where there are none, or there are errors.
    """

    parts: Sequence[PartReport]
    cleaned: WrittenFile | None = None
    why_not_cleaned: str | None = None
    anchors: AnchorAdvice | None = None

    @property
    def num_errors(self) -> int:
        """Problems that training would refuse."""
        return sum(part.num_errors for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        cleaned = None if self.cleaned is None else asdict(self.cleaned) | {"path": str(self.cleaned.path)}
        anchors = None if self.anchors is None else self.anchors.to_json()
        return {"parts": [part.to_json() for part in self.parts], "cleaned": cleaned, "anchors": anchors}
