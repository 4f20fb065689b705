"""Masks laid over pictures: a veil in the colour of the class, and a line along its edge.

They go over the picture before boxes and labels, which stay as readable as without.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.visualisation.lettering import Rectangle
from hrdet_cli.engine.visualisation.palette import Colour, class_colour

_VEIL, _EDGE = 0.4, 0.9  # how much of a pixel's colour is the mask's


@dataclass(frozen=True, slots=True, eq=False)
class Veil:
    """A mask to be drawn.

    Attributes:
        bitmap: ``(h, w)`` bool, True inside.
        left: Where it lies in the drawing, in pixels; it may reach out.
        top: Likewise.
        colour: Of its class.
    """

    bitmap: NDArray[np.bool_]
    left: int
    top: int
    colour: Colour


def veil_in_box(frame: NDArray[Any], box: Rectangle, colour: Colour) -> Veil:
    """A mask that is given in the frame of a box.

    Args:
        frame: ``(m, m)`` numbers in [0, 1], how much of each cell is the object.
        box: In pixels of the drawing.
        colour: Of its class.
    """
    x1, y1, x2, y2 = box
    left, top = round(x1), round(y1)
    columns = np.arange(left, max(round(x2), left + 1)) + 0.5
    rows = np.arange(top, max(round(y2), top + 1)) + 0.5
    of_rows = _between_cells((rows - y1) / max(y2 - y1, 1e-6), frame.shape[0])
    of_columns = _between_cells((columns - x1) / max(x2 - x1, 1e-6), frame.shape[1])
    return Veil(of_rows @ frame.astype(np.float32) @ of_columns.T >= 0.5, left, top, colour)


def veil_over_picture(bitmap: NDArray[np.bool_], size: tuple[int, int], colour: Colour) -> Veil:
    """A mask that is given as a bitmap of the whole picture.

    Args:
        bitmap: ``(H, W)`` of the picture as it is.
        size: Width and height of the picture as it is drawn.
        colour: Of its class.
    """
    if bitmap.shape != (size[1], size[0]):
        shades = Image.fromarray(bitmap.astype(np.uint8) * 255)
        bitmap = np.asarray(shades.resize(size, Image.Resampling.BILINEAR)) >= 128
    return Veil(bitmap, 0, 0, colour)


def veils_of(masks: MaskRuns, labels: Sequence[int], size: tuple[int, int]) -> list[Veil]:
    """The masks of a picture's objects, each as large as it is and no larger.

    Args:
        masks: Of D objects.
        labels: Of each, whose colours they get.
        size: Width and height of the picture as it is drawn.
    """
    bitmaps = zip(masks.bitmaps(), labels, strict=True)
    return [_cropped(veil_over_picture(bitmap, size, class_colour(label))) for bitmap, label in bitmaps]


def _cropped(veil: Veil) -> Veil:
    """The same mask without what is empty around it."""
    rows, columns = (np.flatnonzero(veil.bitmap.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return Veil(np.zeros((0, 0), dtype=np.bool_), veil.left, veil.top, veil.colour)
    top, left = int(rows[0]), int(columns[0])
    bitmap = veil.bitmap[top : rows[-1] + 1, left : columns[-1] + 1].copy()
    return Veil(bitmap, veil.left + left, veil.top + top, veil.colour)


def lay_over(picture: Image.Image, veils: Iterable[Veil], *, line: int = 1) -> Image.Image:
    """Lay masks over a picture. Where several lie on each other the smallest is seen, and no colours mix.

    Args:
        picture: RGB.
        veils: The masks; what of them lies outside of the picture is lost without harm.
        line: Width of the line along their edges, in pixels.

    Returns:
        Another picture of the same size.
    """
    given = np.asarray(picture)
    pixels = given.copy()
    for veil in sorted(veils, key=lambda veil: -np.count_nonzero(veil.bitmap)):
        height, width = veil.bitmap.shape
        bottom, right = min(veil.top + height, pixels.shape[0]), min(veil.left + width, pixels.shape[1])
        top, left = max(veil.top, 0), max(veil.left, 0)
        if bottom <= top or right <= left:
            continue
        seen = slice(top - veil.top, bottom - veil.top), slice(left - veil.left, right - veil.left)
        is_inside, weights = veil.bitmap[seen], _weights(veil.bitmap, line)[seen]
        under = given[top:bottom, left:right][is_inside].astype(np.float32)
        mixed = under + weights[is_inside, None] * (np.array(veil.colour, dtype=np.float32) - under)
        pixels[top:bottom, left:right][is_inside] = mixed.round()
    return Image.fromarray(pixels)


def _weights(bitmap: NDArray[np.bool_], line: int) -> NDArray[np.float32]:
    """How much of each pixel inside is the mask's colour."""
    inner = np.pad(bitmap, line)
    for _ in range(line):
        middle = inner[1:-1, 1:-1]
        inner = middle & inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    return np.where(inner, _VEIL, _EDGE).astype(np.float32)


def _between_cells(places: NDArray[np.floating[Any]], num_cells: int) -> NDArray[np.float32]:
    """``(P, m)`` weights of the cells for places in [0, 1] along a frame, by linear interpolation."""
    cells = np.clip(places * num_cells - 0.5, 0, num_cells - 1)
    distances = np.abs(cells[:, None] - np.arange(num_cells))
    weights: NDArray[np.float32] = np.maximum(1 - distances, 0).astype(np.float32)
    return weights
