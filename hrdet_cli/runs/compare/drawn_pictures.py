"""The pictures on which two detectors differ most, drawn: what there is to find, and what each made of it."""

from collections.abc import Iterator, Sequence

import numpy as np

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.visualisation.lettering import Rectangle
from hrdet_cli.engine.visualisation.marked_picture import Look, Mark, draw_mark_legend, draw_marks
from hrdet_cli.errors import DataError
from hrdet_cli.pages.blocks import Block, Grid, Picture
from hrdet_cli.runs.compare.report import ComparedRun, DetectorComparison, SideDifference
from hrdet_cli.wording import counted

MOST_DRAWN = 8
_LONGEST = 520
_LEGEND: dict[Look, str] = {
    "right": "right",
    "false": "false",
    "missed": "missed; first picture of a row: all objects",
}


def draw_differing(comparison: DetectorComparison, of_side: SideDifference) -> Iterator[Block]:
    """What is drawn; then of each picture what there is to find and what both found, side by side.

    Raises:
        DataError: Pictures are not there, or cannot be read.
    """
    yield Picture(draw_mark_legend(_LEGEND), "What is drawn", alt="; ".join(_LEGEND.values()))
    shown = of_side.pictures[:MOST_DRAWN]
    images = _open(comparison, [picture.file_name for picture in shown])
    runs = comparison.baseline.runs[0], of_side.side.runs[0]
    letters = comparison.baseline.letter, of_side.side.letter
    annotations = comparison.data.annotations
    names = annotations.class_names
    for picture in shown:
        pixels = decode_rgb(
            images.read(picture.file_name),
            expected=annotations.size_of(int(runs[0].boxes.picture_indices[picture.picture])),
            name=picture.file_name,
        )
        captions = [f"{picture.file_name}: {counted(picture.num_objects, 'object')}"]
        marks = [[*_marks_of_objects(runs[0], picture.picture, names)]]
        for place, (letter, run) in enumerate(zip(letters, runs, strict=True)):
            captions.append(f"{letter}: {picture.num_missed[place]} missed, {picture.num_false[place]} false")
            marks.append([*_marks_of_detections(run, picture.picture, names)])
        yield Grid(
            [
                Picture(draw_marks(pixels.permute(1, 2, 0).numpy(), drawn, longest=_LONGEST), caption)
                for drawn, caption in zip(marks, captions, strict=True)
            ],
            "medium",
        )


def _open(comparison: DetectorComparison, file_names: Sequence[str]) -> ImageSource:
    """The pictures, which must all be there.

    Raises:
        DataError: They are not.
    """
    path = comparison.data.images
    if path is None:
        raise DataError("nobody said where the pictures are; --val-data SOURCE IMAGES does")
    images = open_images(path)
    missing = images.find(file_names).missing
    if missing:
        raise DataError(f"{path}: {missing[0]} {images.why_missing(missing[0])}")
    return images


def _marks_of_objects(run: ComparedRun, picture: int, class_names: Sequence[str]) -> Iterator[Mark]:
    """What there is to find in a picture, and the class of each."""
    comparison = run.boxes.comparison
    for row in np.flatnonzero((comparison.truth.pictures == picture) & run.matching.counts).tolist():
        name = class_names[run.boxes.labels[comparison.truth.classes[row]]]
        yield Mark(_corners(comparison.truth.boxes[row].tolist()), "object", name)


def _marks_of_detections(run: ComparedRun, picture: int, class_names: Sequence[str]) -> Iterator[Mark]:
    """What a detector found in a picture, best first, and what it did not."""
    comparison, matching = run.boxes.comparison, run.matching
    is_taken = (comparison.found.pictures == picture) & (comparison.scores >= run.min_score)
    rows = np.flatnonzero(is_taken & matching.is_judged)
    for row in rows[np.argsort(-comparison.scores[rows], kind="stable")].tolist():
        box = _corners(comparison.found.boxes[row].tolist())
        if matching.is_right[row]:
            yield Mark(box, "right")
        else:
            name = class_names[run.boxes.labels[comparison.found.classes[row]]]
            yield Mark(box, "false", f"{name} {comparison.scores[row]:.2f}")
    is_missed = (comparison.truth.pictures == picture) & matching.counts
    is_missed[matching.objects[rows[matching.is_right[rows]]]] = False
    for row in np.flatnonzero(is_missed).tolist():
        name = class_names[run.boxes.labels[comparison.truth.classes[row]]]
        yield Mark(_corners(comparison.truth.boxes[row].tolist()), "missed", f"missed: {name}")


def _corners(box: Sequence[float]) -> Rectangle:
    x, y, width, height = box
    return x, y, x + width, y + height
