"""A sheet that shows what a detector found in pictures, beside what there was to find."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.visualisation.judgement import Judgement, LabelledBoxes, judge
from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle, font, shorten
from hrdet_cli.engine.visualisation.mask_overlay import lay_over, veils_of
from hrdet_cli.engine.visualisation.overlay import (
    LegendEntry,
    draw_box,
    draw_cross,
    draw_dashed_box,
    draw_legend,
)
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER, class_colour

_WIDTH, _SMALLEST_WIDTH, _ROW_HEIGHT = 1600, 480, 360
_MARGIN, _GAP = 28, 16
_CAPTION_HEIGHT = 42
_LINE, _LABEL_WIDTH = 17, 160
_ASPECTS = 0.55, 2.8
"""Narrower or wider pictures do not fill their cell: captions need a column, and a row some height."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionPanel:
    """One picture with its detections and its ground truth; boxes in pixels of this picture.

    Attributes:
        pixels: ``(H, W, 3)`` uint8, RGB.
        title: Such as the file name.
        found: D detections, best first: the first ones get the best places for their labels.
        scores: ``(D,)`` float32 in [0, 1].
        true: G objects.
        crowd: I crowd regions.
        masks: Of the D detections; None where boxes alone were looked for.
    """

    pixels: NDArray[np.uint8]
    title: str
    found: LabelledBoxes
    scores: NDArray[np.float32]
    true: LabelledBoxes
    crowd: LabelledBoxes
    masks: MaskRuns | None = None

    @property
    def judgement(self) -> Judgement:
        """Which detections are right, and which objects were found."""
        return judge(self.found, self.true, self.crowd)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a panel goes, in pixels of the sheet: a cell as wide as its caption may be, and its picture.

    Attributes:
        left: Of both.
        top: Of the picture; the caption is above.
        cell_width: Room for the caption.
        width: Of the picture.
        height: Of the picture.
    """

    left: int
    top: int
    cell_width: int
    width: int
    height: int


def draw_detection_sheet(pictures: Sequence[DetectionPanel], class_names: Sequence[str]) -> Image.Image:
    """Draw pictures in rows, with detections solid and ground truth dashed.

    Masks of detections are veils over the picture. A detection's label names class and score. One that COCO
    would count as false, at an overlap of boxes of one half, is crossed out and labelled so, an object that
    none was found for is labelled as missed.

    Args:
        pictures: One or more, with the detections that are to be seen: drop low scores before.
        class_names: Name of each label.

    Returns:
        An RGB picture at most 1600 pixels wide.
    """
    places = _lay_out([(panel.pixels.shape[1], panel.pixels.shape[0]) for panel in pictures])
    width = max(_SMALLEST_WIDTH, max(place.left + place.cell_width for place in places) + _MARGIN)
    header_height = _draw_header(
        Image.new("RGB", (width, 1)), pictures, class_names
    )  # off the sheet: to measure
    height = header_height + max(place.top + place.height for place in places) + _MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    _draw_header(sheet, pictures, class_names)
    draw = ImageDraw.Draw(sheet)
    for panel, place in zip(pictures, places, strict=True):
        top = header_height + place.top
        judgement = panel.judgement
        _draw_caption(draw, panel, judgement, place, top=top - _CAPTION_HEIGHT)
        sheet.paste(_draw_panel(panel, judgement, class_names, place), (place.left, top))
    return sheet


def _lay_out(sizes: Sequence[tuple[int, int]]) -> list[_Place]:
    """Fill rows with cells of one height, and make each full row as wide as the sheet.

    Args:
        sizes: Width and height of each picture.
    """
    content = _WIDTH - 2 * _MARGIN
    places: list[_Place] = []
    row: list[tuple[int, int]] = []
    top = 0
    for index, size in enumerate(sizes):
        row.append(size)
        cells = [min(max(width / height, _ASPECTS[0]), _ASPECTS[1]) for width, height in row]
        room = content - _GAP * (len(row) - 1)
        if sum(cells) * _ROW_HEIGHT < room and index < len(sizes) - 1:
            continue
        row_height = min(room / sum(cells), _ROW_HEIGHT * 1.15)
        left = float(_MARGIN)
        for (width, height), cell in zip(row, cells, strict=True):
            zoom = min(cell * row_height / width, row_height / height)
            places.append(
                _Place(
                    left=round(left),
                    top=top + _CAPTION_HEIGHT,
                    cell_width=round(cell * row_height),
                    width=max(1, round(width * zoom)),
                    height=max(1, round(height * zoom)),
                )
            )
            left += cell * row_height + _GAP
        top += _CAPTION_HEIGHT + max(place.height for place in places[-len(row) :]) + _GAP
        row = []
    return places


def _draw_header(sheet: Image.Image, pictures: Sequence[DetectionPanel], class_names: Sequence[str]) -> int:
    """Title and legend; returns the height they take."""
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 40), "Detections", INK, font(24, bold=True), "ls")
    present = sorted({int(n) for panel in pictures for n in (*panel.found.labels, *panel.true.labels)})
    entries = [LegendEntry(class_names[label], "class", class_colour(label)) for label in present]
    entries.append(LegendEntry("ground truth", "dashed"))
    entries.append(LegendEntry("false detection", "crossed"))
    return draw_legend(sheet, entries, left=_MARGIN, top=56, right=sheet.width - _MARGIN) + 12


def _draw_caption(
    draw: ImageDraw.ImageDraw, panel: DetectionPanel, judgement: Judgement, place: _Place, *, top: int
) -> None:
    """The title, and below it how many objects were found and how many detections are false."""
    bold, plain = font(13, bold=True), font(13)
    title = shorten(panel.title, bold, place.cell_width)
    counts = f"{judgement.is_found.sum()} of {len(panel.true.boxes)} found, {judgement.is_false.sum()} false"
    draw.text((place.left, top + _LINE), title, INK, bold, "ls")
    draw.text((place.left, top + 2 * _LINE), shorten(counts, plain, place.cell_width), MUTED, plain, "ls")


def _draw_panel(
    panel: DetectionPanel, judgement: Judgement, class_names: Sequence[str], place: _Place
) -> Image.Image:
    size = (place.width, place.height)
    picture = Image.fromarray(panel.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    if panel.masks is not None:
        picture = lay_over(picture, veils_of(panel.masks, panel.found.labels.tolist(), size))
    draw = ImageDraw.Draw(picture)
    zoom = np.array([place.width / panel.pixels.shape[1], place.height / panel.pixels.shape[0]] * 2)
    found, true, crowd = (_zoomed(boxes, zoom) for boxes in (panel.found, panel.true, panel.crowd))
    labels, is_false = panel.found.labels.tolist(), judgement.is_false.tolist()
    for box, label, is_wrong in reversed(list(zip(found, labels, is_false, strict=True))):  # the best on top
        draw_box(draw, box, class_colour(label))
        if is_wrong:
            draw_cross(draw, box, class_colour(label))
    for box in (*crowd, *true):
        draw_dashed_box(draw, box)
    writer = LabelWriter(draw, bounds=(0, 0, *size), boxes=[*found, *true], size=12)
    for box, label, score, is_wrong in zip(found, labels, panel.scores.tolist(), is_false, strict=True):
        text = f"{_in_label(class_names[label])} {score:.2f}"
        if is_wrong:
            writer.write(f"false: {text}", box=box, colour=class_colour(label), filled=False)
        else:
            writer.write(text, box=box, colour=class_colour(label))
    for box, label, is_found in zip(true, panel.true.labels.tolist(), judgement.is_found, strict=True):
        if not is_found:
            writer.write(f"missed: {_in_label(class_names[label])}", box=box, colour=INK, filled=False)
    for box in crowd:
        writer.write("crowd", box=box, colour=INK, filled=False)
    return picture


def _in_label(name: str) -> str:
    return shorten(name, font(12), _LABEL_WIDTH)


def _zoomed(boxes: LabelledBoxes, zoom: NDArray[np.float64]) -> list[Rectangle]:
    return [tuple(box) for box in (boxes.boxes * zoom).tolist()]
