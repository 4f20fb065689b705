"""A sheet that shows what a detector found in pictures, beside what there was to find."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle, font, shorten
from hrdet_cli.engine.visualisation.overlay import LegendEntry, draw_box, draw_dashed_box, draw_legend
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER, class_colour

_WIDTH, _ROW_HEIGHT = 1600, 360
_MARGIN, _GAP = 28, 16
_CAPTION_HEIGHT = 24
_LARGEST_ZOOM = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class DetectionPanel:
    """One picture with its detections and its ground truth; boxes in pixels of this picture.

    Attributes:
        pixels: ``(H, W, 3)`` uint8, RGB.
        title: Such as the file name.
        boxes: ``(D, 4)`` float32 detections, best first: the first ones get the best places for their labels.
        labels: ``(D,)`` int64.
        scores: ``(D,)`` float32 in [0, 1].
        true_boxes: ``(G, 4)`` float32.
        true_labels: ``(G,)`` int64.
    """

    pixels: NDArray[np.uint8]
    title: str
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    true_boxes: NDArray[np.float32]
    true_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a panel's picture goes, in pixels of the sheet; its caption is above."""

    left: int
    top: int
    width: int
    height: int


def draw_detection_sheet(pictures: Sequence[DetectionPanel], class_names: Sequence[str]) -> Image.Image:
    """Draw pictures in rows, with detections solid and ground truth dashed.

    A detection's label names class and score.  An object that no detection of its class overlaps by half
    (intersection over union) is labelled as missed.

    Args:
        pictures: One or more, with the detections that are to be seen: drop low scores before.
        class_names: Name of each label.

    Returns:
        An RGB picture at most 1600 pixels wide.
    """
    places = _lay_out([(panel.pixels.shape[1], panel.pixels.shape[0]) for panel in pictures])
    width = max(place.left + place.width for place in places) + _MARGIN
    header_height = _draw_header(
        Image.new("RGB", (width, 1)), pictures, class_names
    )  # off the sheet: to measure
    height = header_height + max(place.top + place.height for place in places) + _MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    _draw_header(sheet, pictures, class_names)
    draw = ImageDraw.Draw(sheet)
    for panel, place in zip(pictures, places, strict=True):
        top = header_height + place.top
        _draw_caption(draw, panel, place, top=top - 8)
        sheet.paste(_draw_panel(panel, class_names, place), (place.left, top))
    return sheet


def _lay_out(sizes: Sequence[tuple[int, int]]) -> list[_Place]:
    """Fill rows with pictures of one height, and make each full row as wide as the sheet.

    Args:
        sizes: Width and height of each picture.
    """
    content = _WIDTH - 2 * _MARGIN
    places: list[_Place] = []
    row: list[float] = []  # aspect ratios
    top = 0
    for index, (width, height) in enumerate(sizes):
        row.append(width / height)
        room = content - _GAP * (len(row) - 1)
        is_full = sum(row) * _ROW_HEIGHT >= room
        if is_full or index == len(sizes) - 1:
            row_height = min(room / sum(row), _ROW_HEIGHT * 1.15)
            left = float(_MARGIN)
            for aspect in row:
                place = _Place(
                    round(left), top + _CAPTION_HEIGHT, round(aspect * row_height), round(row_height)
                )
                places.append(place)
                left += aspect * row_height + _GAP
            top += _CAPTION_HEIGHT + round(row_height) + _GAP
            row = []
    return places


def _draw_header(sheet: Image.Image, pictures: Sequence[DetectionPanel], class_names: Sequence[str]) -> int:
    """Title and legend; returns the height they take."""
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 40), "Detections", INK, font(24, bold=True), "ls")
    present = sorted({int(label) for panel in pictures for label in (*panel.labels, *panel.true_labels)})
    entries = [LegendEntry(class_names[label], "class", class_colour(label)) for label in present]
    entries.append(LegendEntry("ground truth", "dashed"))
    return draw_legend(sheet, entries, left=_MARGIN, top=56, right=sheet.width - _MARGIN) + 12


def _draw_caption(draw: ImageDraw.ImageDraw, panel: DetectionPanel, place: _Place, *, top: int) -> None:
    """The title, and how many objects were found."""
    num_found = int(_is_found(panel).sum())
    count = f"  {num_found} of {len(panel.true_boxes)} found"
    bold = font(13, bold=True)
    title = shorten(panel.title, bold, place.width - font(13).getlength(count))
    draw.text((place.left, top), title, INK, bold, "ls")
    draw.text((place.left + bold.getlength(title), top), count, MUTED, font(13), "ls")


def _draw_panel(panel: DetectionPanel, class_names: Sequence[str], place: _Place) -> Image.Image:
    size = (place.width, place.height)
    picture = Image.fromarray(panel.pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    draw = ImageDraw.Draw(picture)
    zoom = np.array([place.width / panel.pixels.shape[1], place.height / panel.pixels.shape[0]] * 2)
    boxes: list[Rectangle] = [tuple(box) for box in (panel.boxes * zoom).tolist()]
    true_boxes: list[Rectangle] = [tuple(box) for box in (panel.true_boxes * zoom).tolist()]
    for box, label in reversed(list(zip(boxes, panel.labels.tolist(), strict=True))):  # the best on top
        draw_box(draw, box, class_colour(label))
    for box in true_boxes:
        draw_dashed_box(draw, box)
    writer = LabelWriter(draw, bounds=(0, 0, *size), boxes=[*boxes, *true_boxes], size=12)
    for box, label, score in zip(boxes, panel.labels.tolist(), panel.scores.tolist(), strict=True):
        writer.write(f"{class_names[label]} {score:.2f}", box=box, colour=class_colour(label))
    for box, label, is_found in zip(true_boxes, panel.true_labels.tolist(), _is_found(panel), strict=True):
        if not is_found:
            writer.write(f"missed: {class_names[label]}", box=box, colour=INK, filled=False)
    return picture


def _is_found(panel: DetectionPanel) -> NDArray[np.bool_]:
    """``(G,)``: whether a detection of the same class overlaps by half."""
    true, found = panel.true_boxes[:, None], panel.boxes[None]
    corners = np.minimum(true[..., 2:], found[..., 2:]) - np.maximum(true[..., :2], found[..., :2])
    common = corners.clip(min=0).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (true, found)]
    is_same_class = panel.true_labels[:, None] == panel.labels[None]
    is_overlapping = common >= 0.5 * (areas[0] + areas[1] - common)
    is_found: NDArray[np.bool_] = (is_overlapping & is_same_class).any(axis=1)
    return is_found
