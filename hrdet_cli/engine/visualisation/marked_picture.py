"""A picture, or a part of it, with boxes that are marked by what was found out about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle
from hrdet_cli.engine.visualisation.mask_overlay import lay_over, veil_over_picture
from hrdet_cli.engine.visualisation.overlay import (
    LegendEntry,
    draw_box,
    draw_cross,
    draw_dashed_box,
    draw_legend,
)
from hrdet_cli.engine.visualisation.palette import INK, PAPER, Colour

Look = Literal["right", "taken for another", "misplaced", "repeated", "false", "object", "missed"]
"""Right: thin and green. Taken for another: orange. Misplaced: blue. Repeated: purple. False: red and crossed
out. Object: dashed. Missed: dashed, with a label of its own colour."""

COLOURS: Mapping[Look, Colour] = {
    "right": (34, 160, 80),
    "taken for another": (245, 130, 32),
    "misplaced": (32, 112, 228),
    "repeated": (142, 68, 200),
    "false": (214, 40, 57),
    "object": INK,
    "missed": INK,
}
_LETTERS = 13
_LEGEND_WIDTH, _LEGEND_MARGIN = 360, 8
_LARGEST_ZOOM = 8


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A box to be drawn, over the mask in it.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the picture.
        look: How.
        text: Its label; empty for none.
        mask: ``(H, W)`` bool, the pixels of the picture that are meant; None where the box is all there is.
    """

    box: Rectangle
    look: Look
    text: str = ""
    mask: NDArray[np.bool_] | None = None


def draw_marks(
    pixels: NDArray[np.uint8], marks: Sequence[Mark], *, longest: int, region: Rectangle | None = None
) -> Image.Image:
    """Draw boxes over a picture; those that are right below the others, whose labels find places first.

    Args:
        pixels: ``(H, W, 3)`` uint8, RGB.
        marks: What to draw; of labels the first ones get the best places.
        longest: The longer edge of what is returned, in pixels; smaller pictures are enlarged by 8 at most.
        region: The part to show, x1, y1, x2, y2; what reaches out of the picture is cut off. None shows all.

    Returns:
        An RGB picture.
    """
    left, top, right, bottom = _inside(region, width=pixels.shape[1], height=pixels.shape[0])
    shown = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    zoom = min(longest / max(shown.size), _LARGEST_ZOOM)
    size = (max(1, round(shown.width * zoom)), max(1, round(shown.height * zoom)))
    picture = shown.resize(size, Image.Resampling.LANCZOS if zoom < 1 else Image.Resampling.BICUBIC)
    veils = [
        veil_over_picture(mark.mask[top:bottom, left:right], size, COLOURS[mark.look])
        for mark in marks
        if mark.mask is not None
    ]
    picture = lay_over(picture, veils)
    draw = ImageDraw.Draw(picture)
    placed = [(mark, _placed(mark.box, left=left, top=top, zoom=zoom)) for mark in marks]
    for mark, box in sorted(placed, key=lambda one: one[0].look != "right"):
        _draw(draw, mark.look, box)
    writer = LabelWriter(draw, bounds=(0, 0, *size), boxes=[box for _, box in placed], size=_LETTERS)
    for mark, box in placed:
        if mark.text:
            colour = COLOURS[mark.look]
            writer.write(mark.text, box=box, colour=colour, filled=mark.look not in ("object", "right"))
    return picture


def draw_mark_legend(texts: Mapping[Look, str]) -> Image.Image:
    """Draw what each look means, narrow enough for a phone.

    Args:
        texts: A few words for each look that is explained.
    """
    entries = [_legend_entry(look, text) for look, text in texts.items()]

    def draw(height: int) -> tuple[Image.Image, int]:
        sheet = Image.new("RGB", (_LEGEND_WIDTH, height), PAPER)
        right = _LEGEND_WIDTH - _LEGEND_MARGIN
        return sheet, draw_legend(sheet, entries, left=_LEGEND_MARGIN, top=_LEGEND_MARGIN, right=right)

    _, bottom = draw(1)  # to measure
    return draw(bottom + _LEGEND_MARGIN)[0]


def _legend_entry(look: Look, text: str) -> LegendEntry:
    if look in ("object", "missed"):
        return LegendEntry(text, "dashed")
    return LegendEntry(text, "crossed" if look == "false" else "class", COLOURS[look])


def region_around(boxes: Sequence[Rectangle], *, context: float, least: float) -> Rectangle:
    """A square around boxes that shows what is near them.

    Args:
        boxes: One or more.
        context: How many times as wide as the boxes.
        least: Its smallest edge, in pixels.
    """
    corners = np.array(boxes, dtype=np.float64)
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    half = max(float((high - low).max()) * context, least) / 2
    x, y = ((low + high) / 2).tolist()
    return x - half, y - half, x + half, y + half


def _draw(draw: ImageDraw.ImageDraw, look: Look, box: Rectangle) -> None:
    if look in ("object", "missed"):
        draw_dashed_box(draw, box)
        return
    draw_box(draw, box, COLOURS[look], width=1 if look == "right" else 3)
    if look == "false":
        draw_cross(draw, box, COLOURS[look])


def _inside(region: Rectangle | None, *, width: int, height: int) -> tuple[int, int, int, int]:
    """Whole pixels of the picture, one at least."""
    if region is None:
        return 0, 0, width, height
    left, top = max(0, min(int(region[0]), width - 1)), max(0, min(int(region[1]), height - 1))
    right, bottom = (
        max(low + 1, min(int(np.ceil(high)), edge))
        for low, high, edge in ((left, region[2], width), (top, region[3], height))
    )
    return left, top, right, bottom


def _placed(box: Rectangle, *, left: int, top: int, zoom: float) -> Rectangle:
    x1, y1, x2, y2 = box
    return (x1 - left) * zoom, (y1 - top) * zoom, (x2 - left) * zoom, (y2 - top) * zoom
