"""Marks drawn over pictures: solid and dashed boxes, hatching, and the legend that explains them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

from hrdet_cli.engine.visualisation.lettering import Rectangle, font, shorten
from hrdet_cli.engine.visualisation.palette import (
    HATCH_GROUND,
    HATCH_LINE,
    INK,
    PAPER,
    RULE,
    Colour,
    class_colour,
)

_HATCH_PITCH = 9
_LEGEND_ROW = 22
_LONGEST_ENTRY = 320
_SWATCH = 14


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One line of a legend: a mark and what it means."""

    text: str
    mark: Literal["class", "dashed", "hatched", "crossed", "patches"]
    colour: Colour = INK


def draw_box(draw: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, *, width: int = 2) -> None:
    """Draw a box along the inside of its edges and a thin dark line around, to part it from the picture."""
    x1, y1, x2, y2 = _pixel_edges(box)
    draw.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_darker(colour))
    draw.rectangle((x1, y1, x2, y2), outline=colour, width=min(width, (x2 - x1) // 2 + 1, (y2 - y1) // 2 + 1))


def draw_dashed_box(draw: ImageDraw.ImageDraw, box: Rectangle, *, dash: int = 5) -> None:
    """Draw a thin box of dark and white dashes in turn, to be seen on any background."""
    x1, y1, x2, y2 = _pixel_edges(box)
    draw.rectangle((x1, y1, x2, y2), outline=INK)
    for x in range(x1 + dash, x2 + 1, 2 * dash):
        end = min(x + dash - 1, x2)
        draw.line((x, y1, end, y1), fill=PAPER)
        draw.line((x, y2, end, y2), fill=PAPER)
    for y in range(y1 + dash, y2 + 1, 2 * dash):
        end = min(y + dash - 1, y2)
        draw.line((x1, y, x1, end), fill=PAPER)
        draw.line((x2, y, x2, end), fill=PAPER)


def draw_cross(draw: ImageDraw.ImageDraw, box: Rectangle, colour: Colour) -> None:
    """Cross a box out, from corner to corner."""
    x1, y1, x2, y2 = _pixel_edges(box)
    draw.line((x1, y1, x2, y2), fill=colour)
    draw.line((x1, y2, x2, y1), fill=colour)


def hatched(width: int, height: int) -> Image.Image:
    """A picture of thin diagonal lines on a light ground."""
    rows, columns = np.ogrid[:height, :width]
    is_line = ((rows + columns) % _HATCH_PITCH < 2)[..., None]
    return Image.fromarray(np.where(is_line, HATCH_LINE, HATCH_GROUND).astype(np.uint8))


def draw_legend(
    sheet: Image.Image, entries: Sequence[LegendEntry], *, left: int, top: int, right: int
) -> int:
    """Draw entries in rows between ``left`` and ``right``; what lies outside the sheet is lost without harm.

    Returns:
        The ``y`` below the last row.
    """
    draw, face = ImageDraw.Draw(sheet), font(13)
    x, y = left, top
    for entry in entries:
        text = shorten(entry.text, face, min(_LONGEST_ENTRY, right - left - _SWATCH - 7))
        width = _SWATCH + 7 + round(face.getlength(text))
        if x > left and x + width > right:
            x, y = left, y + _LEGEND_ROW
        _draw_mark(sheet, entry, x, y + (_LEGEND_ROW - _SWATCH) // 2)
        draw.text((x + _SWATCH + 7, y + _LEGEND_ROW / 2), text, fill=INK, font=face, anchor="lm")
        x += width + 20
    return y + _LEGEND_ROW


def _draw_mark(sheet: Image.Image, entry: LegendEntry, x: int, y: int) -> None:
    draw = ImageDraw.Draw(sheet)
    if entry.mark == "class":
        draw.rounded_rectangle((x, y, x + _SWATCH - 1, y + _SWATCH - 1), radius=3, fill=entry.colour)
    elif entry.mark == "dashed":
        draw_dashed_box(draw, (x, y, x + _SWATCH, y + _SWATCH), dash=2)
    elif entry.mark == "crossed":
        draw.rectangle((x, y, x + _SWATCH - 1, y + _SWATCH - 1), outline=entry.colour)
        draw_cross(draw, (x, y, x + _SWATCH, y + _SWATCH), entry.colour)
    elif entry.mark == "patches":
        for label in range(4):
            left, top = x + label % 2 * _SWATCH // 2, y + label // 2 * _SWATCH // 2
            draw.rectangle((left, top, left + _SWATCH // 2 - 1, top + _SWATCH // 2 - 1), class_colour(label))
    else:
        sheet.paste(hatched(_SWATCH, _SWATCH), (x, y))
        draw.rectangle((x, y, x + _SWATCH - 1, y + _SWATCH - 1), outline=RULE)


def _pixel_edges(box: Rectangle) -> tuple[int, int, int, int]:
    """First and last pixel of each axis; a box thinner than a pixel still has one."""
    x1, y1 = round(box[0]), round(box[1])
    return x1, y1, max(round(box[2]) - 1, x1), max(round(box[3]) - 1, y1)


def _darker(colour: Colour) -> Colour:
    red, green, blue = (channel * 2 // 5 for channel in colour)
    return red, green, blue
