"""The pictures of a report: the worst ones with their errors, and suspect annotations from near."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.run_lengths import bitmap_of_runs, unpack_run_lengths
from hrdet_cli.engine.evaluation.analysis.errors import KINDS, ErrorKind
from hrdet_cli.engine.evaluation.analysis.worst_pictures import BadPicture
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.lettering import Rectangle
from hrdet_cli.engine.visualisation.marked_picture import Look, Mark, draw_marks, region_around
from hrdet_cli.pages.blocks import Picture
from hrdet_cli.runs.evaluation_report.subject import Subject
from hrdet_cli.runs.suspect_list import Box, ListedSuspect
from hrdet_cli.wording import counted

Read = Callable[[str], NDArray[np.uint8]]
"""The pixels of a picture by its file name: ``(H, W, 3)`` uint8, RGB."""

LOOKS: Mapping[ErrorKind, Look] = {
    "class": "taken for another",
    "location": "misplaced",
    "both": "misplaced",
    "duplicate": "repeated",
    "background": "false",
    "missed": "missed",
}
_LONGEST, _LONGEST_OF_CROP = 760, 340
_CONTEXT, _LEAST_REGION = 2.5, 64


def draw_worst(
    pictures: Sequence[BadPicture], subject: Subject, *, file_names: NDArray[np.str_], read: Read
) -> Iterator[Picture]:
    """Draw pictures with what is right and what is wrong in them, from the operating point's score on.

    Args:
        pictures: Of the analysis of boxes.
        subject: What the report is about; masks of false detections are drawn where there are any.
        file_names: ``(M,)`` in the order of the annotations.
        read: Reads a picture.
    """
    analysis = subject.boxes
    for bad in pictures:
        name = str(file_names[analysis.prepared.picture_indices[bad.picture]])
        marks = list(_marks_of(bad.picture, subject))
        counts = f"{bad.num_missed} of {counted(bad.num_objects, 'object')} missed, {bad.num_false} false"
        drawn = draw_marks(read(name), marks, longest=_LONGEST)
        yield Picture(drawn, f"{name}: {counts}", alt=f"{name} with its errors: {counts}")


def _marks_of(picture: int, subject: Subject) -> Iterator[Mark]:
    """The best detections first; then objects that are missed, or that a false detection is about."""
    analysis = subject.boxes
    comparison, matching, errors = analysis.comparison, analysis.matching, analysis.errors
    taken = comparison.scores >= analysis.min_score
    rows = np.flatnonzero((comparison.found.pictures == picture) & matching.is_judged & taken)
    found_objects = set(matching.objects[rows].tolist())
    concerned: set[int] = set()
    for row in rows[np.argsort(-comparison.scores[rows], kind="stable")].tolist():
        box = _corners(comparison.found.boxes[row])
        if matching.is_right[row]:
            yield Mark(box, "right")
            continue
        kind = KINDS[errors.kinds[row]]
        name = subject.name_of(int(comparison.found.classes[row]))
        label = f"{kind}: {name} {comparison.scores[row]:.2f}"
        yield Mark(box, LOOKS[kind], label, _mask_of(row, subject))
        concerned.add(int(errors.partners[row]))
    for row in np.flatnonzero((comparison.truth.pictures == picture) & matching.counts).tolist():
        box = _corners(comparison.truth.boxes[row])
        name = subject.name_of(int(comparison.truth.classes[row]))
        if row in concerned:
            yield Mark(box, "object", f"is {name}")
        elif row not in found_objects:
            yield Mark(box, "missed", f"missed: {name}")


def _mask_of(row: int, subject: Subject) -> NDArray[np.bool_] | None:
    """The mask of a detection; None where boxes alone were looked for."""
    if (masks := subject.analyses.get("mask")) is None:
        return None
    packed = masks.comparison.found.masks[row]
    return bitmap_of_runs(unpack_run_lengths(packed["counts"].encode("ascii")), Size(*packed["size"]))


def draw_suspects(suspects: Sequence[ListedSuspect], *, read: Read) -> Iterator[Picture]:
    """Draw the place of each suspect: annotations dashed, what is detected in colour.

    Args:
        suspects: Each picture is read once where its suspects follow each other.
        read: Reads a picture.
    """
    read_once = lru_cache(maxsize=1)(read)
    for suspect in suspects:
        yield Picture(
            draw_suspect(suspect, read_once(suspect.file_name)),
            describe(suspect),
            alt=f"{suspect.file_name}: {suspect.reason}",
        )


def describe(suspect: ListedSuspect) -> str:
    """Which annotation of which picture is suspect, and why."""
    where = suspect.file_name
    if suspect.annotation is not None:
        where += f", {suspect.annotation.place or f'annotation {suspect.annotation.id}'}"
    return f"{where}: {suspect.reason}"


def draw_suspect(suspect: ListedSuspect, pixels: NDArray[np.uint8]) -> Image.Image:
    """The place of a suspect with what is around it."""
    looks: list[tuple[Look, str, Box]] = []
    if (detection := suspect.detection) is not None:
        looks.append(("taken for another", f"{detection.category} {detection.score or 0:.2f}", detection.box))
    looks += [
        ("missed", f"annotated: {annotation.category}", annotation.box)
        for annotation in (suspect.annotation, suspect.twin)
        if annotation is not None
    ]
    marks = [Mark(_corners(np.array(box)), look, text) for look, text, box in looks]
    region = region_around([mark.box for mark in marks], context=_CONTEXT, least=_LEAST_REGION)
    return draw_marks(pixels, marks, longest=_LONGEST_OF_CROP, region=region)


def _corners(box: NDArray[np.float64]) -> Rectangle:
    x, y, width, height = box.tolist()
    return x, y, x + width, y + height
