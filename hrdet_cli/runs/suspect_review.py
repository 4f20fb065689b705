"""``hrdet check-data --suspects``: suspect annotations to go through, and what was settled since."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.ground_truth import GroundTruth
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.engine.evaluation.analysis.suspects import KINDS
from hrdet_cli.errors import DataError
from hrdet_cli.pages.blocks import Block, Grid, Page, Picture, Section, Text
from hrdet_cli.pages.rendering import render_page
from hrdet_cli.runs.annotation_sources import find_parts, recognise
from hrdet_cli.runs.evaluation_report.pictures import describe, draw_suspect
from hrdet_cli.runs.output_files import refuse_unwritable_file, write_text
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.suspect_list import ListedBox, ListedSuspect, SuspectList, read_suspects
from hrdet_cli.wording import counted

_MOST_DRAWN = 300
_SAME_PIXELS = 1.0
_ANNOTATED_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class ReviewedSuspect:
    """A suspect, and what became of it.

    Attributes:
        number: Its place in the list, from 1.
        suspect: As listed.
        settled: What was changed since; None while nothing was.
    """

    number: int
    suspect: ListedSuspect
    settled: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {"number": self.number, **msgspec.to_builtins(self.suspect), "settled": self.settled}


@dataclass(frozen=True, slots=True)
class SuspectReview:
    """A list, compared with annotations.

    Attributes:
        list_file: Where it was read.
        annotations: What it was compared with.
        suspects: In the order of the list.
        page: Where open ones are drawn; None where none is open, or no pictures are known.
        not_drawn: Open ones that are not, with the reason.
    """

    list_file: Path
    annotations: str
    suspects: Sequence[ReviewedSuspect]
    page: Path | None
    not_drawn: Mapping[int, str]

    @property
    def open_ones(self) -> list[ReviewedSuspect]:
        """Those that nothing was changed about."""
        return [one for one in self.suspects if one.settled is None]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "list": str(self.list_file),
            "annotations": self.annotations,
            "page": None if self.page is None else str(self.page),
            "num_open": len(self.open_ones),
            "suspects": [one.to_json() for one in self.suspects],
        }


def review_suspects(
    list_file: Path, *, annotations: Path | None, images: Path | None, split: str | None
) -> Generator[WorkProgress, None, SuspectReview]:
    """Compare a list with annotations as they are now, and draw what is still open into a page beside it.

    Args:
        list_file: As `hrdet eval --report` writes it.
        annotations: Those to compare with; None takes those that the list names.
        images: Their pictures; None takes those that the list names.
        split: Part of a data set of several; None takes the list's.

    Raises:
        DataError: The list, the annotations or the root of the pictures cannot be used.
        OutputError: The page cannot be written.
    """
    listed = read_suspects(list_file)
    source = _source_of(listed, annotations=annotations, images=images, split=split)
    yield WorkProgress(f"reading {source.path.name}")
    current = load_annotations(source, with_truth=True)
    reviewed = _review(listed, current)
    open_ones = [one for one in reviewed if one.settled is None]
    root = source.images or images or Path(listed.images)
    page, not_drawn = None, dict[int, str]()
    if open_ones:
        page = list_file.with_suffix(".html")
        refuse_unwritable_file(page, option="folder for the list")
        pictures = open_images(root)
        pictures.find(current.file_names.tolist())
        drawn = dict[int, Picture]()
        for place, one in enumerate(open_ones[:_MOST_DRAWN]):
            yield WorkProgress("drawing", place, min(len(open_ones), _MOST_DRAWN))
            try:
                drawn[one.number] = _draw(one, current, pictures)
            except DataError as error:
                not_drawn[one.number] = str(error)
        write_text(page, render_page(_page_of(listed, current.title, reviewed, drawn)))
    return SuspectReview(list_file, current.title, reviewed, page, not_drawn)


def _source_of(
    listed: SuspectList, *, annotations: Path | None, images: Path | None, split: str | None
) -> AnnotationSource:
    path = annotations or Path(listed.annotations)
    if annotations is None and split is None:
        split = listed.split
    known = images or (Path(listed.images) if annotations is None else None)
    sources = find_parts(path, known if recognise(path) is None else images, split)
    if len(sources) > 1:
        names = ", ".join(str(source.split) for source in sources)
        raise DataError(f"{path}: has several parts ({names}): name that of the suspects with --split")
    return sources[0]


def _review(listed: SuspectList, current: CocoAnnotations) -> list[ReviewedSuspect]:
    if current.truth is None:
        raise ValueError(f"{current.path} was loaded without its ground truth")
    index_by_name = {name: index for index, name in enumerate(current.file_names.tolist())}
    now = _Now(current, current.truth)
    return [
        ReviewedSuspect(number, suspect, now.what_changed(suspect, index_by_name.get(suspect.file_name)))
        for number, suspect in enumerate(listed.suspects, start=1)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Now:
    """Annotations as they are, told by place and class: ids are none in other formats than COCO's."""

    annotations: CocoAnnotations
    truth: GroundTruth

    def what_changed(self, suspect: ListedSuspect, index: int | None) -> str | None:
        """What was done about a suspect of picture ``index``; None for nothing."""
        if index is None:
            return "the picture is no longer there"
        rows = np.flatnonzero(self.truth.picture_indices == index)
        listed = [one for one in (suspect.annotation, suspect.twin) if one is not None]
        same = [self._same(annotation, rows) for annotation in listed]
        if not all(same) or len(set[int]().union(*same)) < len(listed):
            what = f"the annotation ({listed[0].where}) is" if len(listed) == 1 else "one of the two is"
            return f"{what} no longer as it was"
        detection = suspect.detection
        if not listed and detection is not None and self._is_annotated(detection, rows):
            return "annotated since"
        return None

    def _same(self, annotation: ListedBox, rows: NDArray[np.int64]) -> set[int]:
        """Those of some rows that are where an annotation was, and of its class."""
        near = np.abs(self.truth.boxes[rows] - annotation.box).max(axis=1, initial=0) <= _SAME_PIXELS
        found = rows[near].tolist()
        if annotation.category not in self.annotations.class_names:  # classes were taken for one
            return set(found)
        label = self.annotations.class_names.index(annotation.category)
        return {row for row in found if self.truth.labels[row] == label}

    def _is_annotated(self, detection: ListedBox, rows: NDArray[np.int64]) -> bool:
        if not len(rows):
            return False
        overlaps = coco_mask.iou(np.array([detection.box]), self.truth.boxes[rows], np.zeros(len(rows)))
        return bool(overlaps.max() >= _ANNOTATED_OVERLAP)


def _draw(one: ReviewedSuspect, current: CocoAnnotations, pictures: ImageSource) -> Picture:
    name = one.suspect.file_name
    index = int(np.flatnonzero(current.file_names == name)[0])
    pixels = decode_rgb(
        pictures.read(name), expected=current.size_of(index), name=name, max_pixels=MAX_PICTURE_PIXELS
    )
    drawn = draw_suspect(one.suspect, pixels.permute(1, 2, 0).numpy())
    return Picture(drawn, f"{one.number}. {describe(one.suspect)}")


def _page_of(
    listed: SuspectList, title: str, reviewed: Sequence[ReviewedSuspect], drawn: Mapping[int, Picture]
) -> Page:
    num_settled = sum(one.settled is not None for one in reviewed)
    num_open = len(reviewed) - num_settled
    lead = f"{num_open:,} open and {num_settled:,} settled, by {listed.weights}"
    blocks: list[Block] = [
        Text(
            "In colour what is detected, dashed what is annotated. The detector may be wrong: change only "
            "what you see to be wrong, then run the same command again."
        )
    ]
    if num_open > len(drawn):
        blocks.append(Text(f"Of {counted(num_open, 'suspect')} {len(drawn):,} are drawn.", "note"))
    sections = []
    for kind in KINDS:
        pictures = [drawn[one.number] for one in reviewed if one.suspect.kind == kind and one.number in drawn]
        if pictures:
            sections.append(Section(kind.capitalize(), [Grid(pictures, "medium")]))
    return Page(f"Suspect annotations of {Path(title).name}", sections, lead, blocks)
