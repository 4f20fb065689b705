"""What the files of another format say, as entries of a COCO file, and what is wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hrdet_cli.engine.data.annotation_file import (
    AnnotationEntry,
    AnnotationFile,
    CategoryEntry,
    ImageEntry,
)
from hrdet_cli.engine.data.annotation_table import Problems, Table
from hrdet_cli.engine.data.box_forms import FORM_KEY, XYWH
from hrdet_cli.engine.data.checking.annotations import JsonFile
from hrdet_cli.engine.data.checking.problems import Problem, ProblemKind, ProblemLog
from hrdet_cli.engine.data.places import Place, Places

COORDINATE_DECIMALS = 6
"""Of pixels: below what any file means, and above what is lost where shares become pixels."""

_INFO: Mapping[str, str] = {FORM_KEY: XYWH.name}  # nobody has to judge the form of these boxes


class OutlinedEntry(AnnotationEntry, gc=False):
    """An annotation that may have polygons."""

    segmentation: list[list[float]] | msgspec.UnsetType = msgspec.UNSET


class Fault(NamedTuple):
    """Something in a format's own files that cannot be used, and is in no entry."""

    kind: ProblemKind
    place: Place
    what: str


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """All that the files of one part of a data set say.

    Attributes:
        images: M entries with ids from 1 on.
        annotations: Likewise, picture by picture.
        categories: Likewise, in the order of the labels.
        places: Where they stand.
        faults: What is wrong and left out.
        notes: What was decided, a sentence each, to go behind the name of the data set.
        fingerprint: See ``AnnotationSource``.
        unread: What the files say that no entry has: how often, by what it is.
    """

    images: list[ImageEntry]
    annotations: list[OutlinedEntry]
    categories: list[CategoryEntry]
    places: Places
    faults: Sequence[Fault]
    notes: tuple[str, ...]
    fingerprint: str
    unread: Mapping[str, int] = field(default_factory=dict)

    def to_file(self, problems: Problems) -> AnnotationFile:
        """For training and evaluation, which want all of it in order.

        Raises:
            DataError: Something is wrong.
        """
        for fault in self.faults:
            problems.add(f"{fault.place}: {fault.what}")
        problems.raise_if_any()
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        tables = {
            name: Table(
                name,
                content,
                problems,
                may_be_empty=name == "annotations",
                place_of=self.places[name],
            )
            for name in content
        }
        problems.raise_if_any()
        return AnnotationFile(
            images=tables["images"],
            annotations=tables["annotations"],
            categories=tables["categories"],
            info=_INFO,
            problems=problems,
            fingerprint=self.fingerprint,
            notes=self.notes,
        )

    def to_whole(self, path: Path, log: ProblemLog) -> JsonFile:
        """For who looks at every problem; those of the files go to the log."""
        by_kind: dict[ProblemKind, list[Fault]] = {}
        for fault in self.faults:
            by_kind.setdefault(fault.kind, []).append(fault)
        for kind, faults in by_kind.items():
            log.add(kind, range(len(faults)), partial(_problem_of, faults))
        return JsonFile(path, self.to_document(), places=self.places, unread=self.unread)

    def to_document(self) -> dict[str, Any]:
        """A COCO document of plain types."""
        return {
            "info": dict(_INFO),
            "images": list(map(_plain, self.images)),
            "annotations": list(map(_plain, self.annotations)),
            "categories": list(map(_plain, self.categories)),
        }


def _problem_of(faults: Sequence[Fault], row: int) -> Problem:
    fault = faults[row]
    return Problem(fault.kind, fault.place.file, fault.place.item or None, fault.what)


def _plain(entry: msgspec.Struct) -> dict[str, Any]:
    return dict(_given(entry))


def _given(entry: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    for key in entry.__struct_fields__:
        value = getattr(entry, key)
        if value is not msgspec.UNSET:
            yield key, value
