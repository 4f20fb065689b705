"""Text on pictures: the font, shortening, and labels that find a free place.

The font is DejaVu Sans, which Matplotlib brings along: it has Latin, Greek, Cyrillic and more, where Pillow's
own has little beyond ASCII.  Its file is looked up without importing Matplotlib, which would take longer than
writing a picture's labels.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw, ImageFont

from hrdet_cli.engine.visualisation.palette import PAPER, Colour, ink_on
from hrdet_cli.engine.visualisation.rectangles import areas, common_areas

Rectangle = tuple[float, float, float, float]
Rectangles = NDArray[np.float64]  # (n, 4)

_PADDING = 3


@lru_cache(maxsize=16)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font at a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(_fonts() / name, size)


@cache
def _fonts() -> Path:
    package = find_spec("matplotlib")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("matplotlib is not installed, and its font is needed", name="matplotlib")
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"


def shorten(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """Take letters out of the middle until the text is at most ``width`` pixels wide."""
    if face.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        shortened = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if face.getlength(shortened) <= width:
            return shortened
    return "…"


def wrap(
    parts: Sequence[str], face: ImageFont.FreeTypeFont, width: float, *, separator: str = " · "
) -> list[str]:
    """Join parts into as few lines of at most ``width`` pixels as keep every part whole."""
    lines: list[str] = []
    for part in parts:
        longer = lines[-1] + separator + part if lines else part
        if lines and face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(part, face, width))
    return lines


class LabelWriter:
    """Writes labels at the boxes of one picture, none over another or over half of a box.

    Once labels cover a quarter of the picture no more are written: more letters than picture show nothing.
    A label is compared only with the boxes near it, so that thousands of boxes take seconds.

    Args:
        draw: Where to write.
        bounds: The part of it that labels may use.
        boxes: All boxes that are to stay visible.
        size: Of the letters, in pixels.
        num_picture_pixels: Where the picture is only part of the bounds, how large it is.
    """

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        *,
        bounds: Rectangle,
        boxes: Sequence[Rectangle],
        size: int,
        num_picture_pixels: float | None = None,
    ) -> None:
        self._draw = draw
        self._bounds = bounds
        left, top, right, bottom = bounds
        self._most_covered = (num_picture_pixels or (right - left) * (bottom - top)) / 4
        self._boxes = np.array(boxes).reshape(-1, 4).round()
        self._box_areas = areas(self._boxes)
        self._face = font(size)
        self._height = size + 2 * _PADDING
        self._written = np.zeros((0, 4))
        self._num_covered = 0.0

    def write(self, text: str, *, box: Rectangle, colour: Colour, filled: bool = True) -> bool:
        """Write a label at a box.

        Args:
            text: One line.
            box: Where the labelled box was drawn, in pixels of the drawing.
            colour: Of the label's ground, or of its letters and frame when it is not filled.
            filled: Whether the ground has the colour, or is paper.

        Returns:
            False when no place at the box is free; nothing is written then, the box's colour has to do.
        """
        if self._num_covered > self._most_covered:
            return False
        width = round(self._face.getlength(text)) + 2 * _PADDING
        places = self._free_places(box, width)
        if not len(places):
            return False
        hidden = common_areas(places, self._boxes[self._near(places)]).sum(axis=1)
        place = places[hidden.argmin()]
        self._written = np.vstack([self._written, place])
        self._num_covered += width * self._height
        left, top, right, bottom = place.tolist()
        ground, ink = (colour, ink_on(colour)) if filled else (PAPER, colour)
        self._draw.rectangle((left, top, right - 1, bottom - 1), fill=ground, outline=colour)
        self._draw.text((left + _PADDING, (top + bottom) / 2), text, fill=ink, font=self._face, anchor="lm")
        return True

    def _free_places(self, box: Rectangle, width: int) -> Rectangles:
        """``(P, 4)`` places that may be used, the best first.

        Above, below and inside of the box are tried; flush with its left or else its right edge.
        """
        x1, y1, x2, y2 = (round(edge) for edge in box)
        leftmost, topmost, right, bottom = self._bounds
        lefts = [max(min(x, right - width), leftmost) for x in (x1, x2 - width)]
        tops = (y1 - self._height, y2, y1, y2 - self._height)
        places = np.array([(x, y, x + width, y + self._height) for x in lefts for y in tops])
        is_inside = (places[:, :2] >= (leftmost, topmost)) & (places[:, 2:] <= (right, bottom))
        places = places[is_inside.all(axis=1)]
        places = places[~(common_areas(places, self._written) > 0).any(axis=1)]
        if not len(places):
            return places
        small = self._near(places) & (self._box_areas < 2 * width * self._height)  # no others are half hidden
        is_hidden = common_areas(places, self._boxes[small]) > self._box_areas[small] / 2
        free: Rectangles = places[~is_hidden.any(axis=1)]
        return free

    def _near(self, places: Rectangles) -> NDArray[np.bool_]:
        """``(B,)`` which boxes may have pixels in common with one of the ``(P, 4)`` places."""
        left, top = places[:, :2].min(axis=0)
        right, bottom = places[:, 2:].max(axis=0)
        x1, y1, x2, y2 = self._boxes.T
        near: NDArray[np.bool_] = (x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)
        return near
