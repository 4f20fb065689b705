"""The six shapes of the demo data, drawn into stamps that a scene can put anywhere.

Every class has its own outline and its own texture; colour is left to the scene, so that it gives no class
away.  Outlines and textures are functions of ``(u, v)``, coordinates in which the shape fills the unit disc:
``u`` points right, ``v`` down.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
PointTest = Callable[[Floats, Floats], Mask]

_SAMPLES_PER_PIXEL = 2  # along each axis; their mean makes smooth edges


@dataclass(frozen=True, slots=True)
class ShapeClass:
    """One object class.

    Attributes:
        name: Category name.
        category_id: Id in the annotation file; ids have gaps, as COCO's have.
        contains: Which points ``(u, v)`` lie inside the outline.
        is_bright: Which points of the inside take the brighter of the two colours.
    """

    name: str
    category_id: int
    contains: PointTest
    is_bright: PointTest


@dataclass(frozen=True, slots=True)
class Stamp:
    """A drawn shape, cut tightly: its first and last row and column hold pixels of ``mask``.

    Attributes:
        coverage: ``(h, w)`` float32 in [0, 1], the share of each pixel that the shape covers.
        brightness: ``(h, w)`` float32 in [0, 1], 0 for the darker and 1 for the brighter colour.
        light: ``(h, w)`` float32 around 1, a soft shading that brightens the upper left.
    """

    coverage: Floats
    brightness: Floats
    light: Floats

    @property
    def mask(self) -> Mask:
        """``(h, w)`` bool, the pixels that belong to the object: those covered by half or more."""
        return self.coverage >= 0.5


def draw_stamp(shape: ShapeClass, *, diameter: float, angle: float, stretch: float) -> Stamp:
    """Draw a shape.

    Args:
        shape: Its class.
        diameter: Of the unit disc, in pixels, before it is stretched.
        angle: Turn in radians.
        stretch: Factor that makes it wider and, by its inverse, flatter.

    Returns:
        The stamp, with anti-aliased edges.
    """
    reach = int(np.ceil(diameter / 2 * max(stretch, 1 / stretch))) + 1
    num_samples = 2 * reach * _SAMPLES_PER_PIXEL
    ticks = ((np.arange(num_samples) + 0.5) / _SAMPLES_PER_PIXEL - reach) * 2 / diameter
    x, y = np.meshgrid((ticks / stretch).astype(np.float32), (ticks * stretch).astype(np.float32))
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = cosine * x + sine * y, cosine * y - sine * x
    inside = shape.contains(u, v)
    coverage = _pixel_means(inside)
    brightness = _pixel_means(inside & shape.is_bright(u, v))
    np.divide(brightness, coverage, out=brightness, where=coverage > 0)
    middle = slice(_SAMPLES_PER_PIXEL // 2, None, _SAMPLES_PER_PIXEL)
    light = 1 - np.float32(0.12) * (x + y)[middle, middle]
    rows = np.flatnonzero((coverage >= 0.5).any(axis=1))
    columns = np.flatnonzero((coverage >= 0.5).any(axis=0))
    cut = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return Stamp(coverage=coverage[cut], brightness=brightness[cut], light=light[cut])


def _pixel_means(samples: Mask) -> Floats:
    sums = np.zeros(
        (samples.shape[0] // _SAMPLES_PER_PIXEL, samples.shape[1] // _SAMPLES_PER_PIXEL), np.float32
    )
    for row, column in np.ndindex(_SAMPLES_PER_PIXEL, _SAMPLES_PER_PIXEL):
        sums += samples[row::_SAMPLES_PER_PIXEL, column::_SAMPLES_PER_PIXEL]
    sums /= _SAMPLES_PER_PIXEL**2
    return sums


def _in_disc(u: Floats, v: Floats) -> Mask:
    return u * u + v * v <= 1


def _in_square(u: Floats, v: Floats) -> Mask:
    return (abs(u) <= 0.8) & (abs(v) <= 0.8)


def _in_triangle(u: Floats, v: Floats) -> Mask:
    return (v <= 0.5) & (np.float32(np.sqrt(3)) * abs(u) - v <= 1)


def _in_ring(u: Floats, v: Floats) -> Mask:
    squared = u * u + v * v
    return (squared <= 1) & (squared >= 0.55**2)


def _in_star(u: Floats, v: Floats) -> Mask:
    """Five points: below the line from a tip at radius 1 to its notch at radius 0.45."""
    notch_x, notch_y = 0.45 * np.cos(np.pi / 5), 0.45 * np.sin(np.pi / 5)
    radius: Floats = np.hypot(u, v)
    off_axis = abs(_angle_from_tip(u, v))
    inside: Mask = radius * (notch_y * np.cos(off_axis) + (1 - notch_x) * np.sin(off_axis)) <= notch_y
    return inside


def _in_cross(u: Floats, v: Floats) -> Mask:
    return _in_plus(u, v, half_width=0.3, half_length=0.92)


def _in_stripes(u: Floats, _: Floats) -> Mask:
    return u % 0.8 < 0.4


def _in_checks(u: Floats, v: Floats) -> Mask:
    is_bright: Mask = (u // 0.4 + v // 0.4) % 2 == 0
    return is_bright


def _in_dots(u: Floats, v: Floats) -> Mask:
    pitch = 0.4
    row_shift = 0.05  # keeps the lowest row whole
    return (u % pitch - pitch / 2) ** 2 + ((v - row_shift) % pitch - pitch / 2) ** 2 <= 0.14**2


def _in_bands(u: Floats, v: Floats) -> Mask:
    angle: Floats = np.arctan2(u, v)
    return angle % (np.pi / 2) < np.pi / 4


def _in_left_facets(u: Floats, v: Floats) -> Mask:
    is_left: Mask = _angle_from_tip(u, v) < 0
    return is_left


def _in_core(u: Floats, v: Floats) -> Mask:
    return _in_plus(u, v, half_width=0.13, half_length=0.75)


def _in_plus(u: Floats, v: Floats, *, half_width: float, half_length: float) -> Mask:
    is_narrow = (abs(u) <= half_width) | (abs(v) <= half_width)
    return is_narrow & (abs(u) <= half_length) & (abs(v) <= half_length)


def _angle_from_tip(u: Floats, v: Floats) -> Floats:
    """Signed angle to the nearest of five tips, the first of which points up."""
    sector = np.float32(2 * np.pi / 5)
    angle: Floats = np.arctan2(u, -v)
    return (angle + sector / 2) % sector - sector / 2


SHAPE_CLASSES = (
    ShapeClass("striped disc", 3, _in_disc, _in_stripes),
    ShapeClass("checked square", 7, _in_square, _in_checks),
    ShapeClass("dotted triangle", 8, _in_triangle, _in_dots),
    ShapeClass("banded ring", 12, _in_ring, _in_bands),
    ShapeClass("faceted star", 20, _in_star, _in_left_facets),
    ShapeClass("cored cross", 41, _in_cross, _in_core),
)
