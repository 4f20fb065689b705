"""Scenes of the demo data: textured shapes on a cluttered background, with the exact mask of each.

No object hides any part of another, so a mask is all there is of its object and the box around it is tight.
Objects may stick out of the picture a little; their masks end where the picture ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

from hrdet_cli.engine.data.synthetic_shapes import SHAPE_CLASSES, Floats, Mask, ShapeClass, Stamp, draw_stamp

_SMALLEST_DIAMETER = 17.0
_LARGEST_SHARE = 0.55  # of the short edge
_LARGEST_TURN = np.deg2rad(25)
_LARGEST_STRETCH = 1.1
_STICK_OUT_SHARE = 0.12
_LARGEST_BOX_OVERLAP = 0.15  # intersection over the smaller box
_PLACING_ATTEMPTS = 25
_CROWD_CELL_PIXELS = 10
_SHADOW_SHIFT = (3, 2)  # down, right
_SHADOW_STRENGTH = 0.5


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object, or one crowd of small objects of a class.

    Attributes:
        shape: Class of the object.
        mask: ``(H, W)`` bool, its pixels in the picture; never empty.
        is_crowd: Whether it is a cluster that is annotated as one region.
    """

    shape: ShapeClass
    mask: Mask
    is_crowd: bool

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The tight box ``(x1, y1, x2, y2)`` around the mask, in pixels."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        pixels: ``(H, W, 3)`` uint8, RGB.
        objects: What there is to find.
    """

    pixels: np.ndarray
    objects: tuple[SceneObject, ...]


def draw_scene(
    generator: Generator,
    *,
    height: int,
    width: int,
    num_objects: int,
    has_crowd: bool,
    diameters: tuple[float, float] | None = None,
) -> Scene:
    """Draw one picture.

    Args:
        generator: Source of every choice; the same generator state draws the same pixels.
        height: In pixels.
        width: In pixels.
        num_objects: Single objects to place; one that finds no free spot is left out.
        has_crowd: Whether to add one crowd region.
        diameters: The smallest and the largest of single objects, in pixels; None for all that can be told
            apart and that suit the picture.

    Returns:
        The scene.
    """
    painting = _Painting(generator, height=height, width=width)
    if has_crowd:
        painting.add_crowd()
    smallest, largest = diameters or (_SMALLEST_DIAMETER, _LARGEST_SHARE * min(height, width))
    drawn = smallest + (largest - smallest) * generator.random(num_objects) ** 1.5
    for diameter in np.sort(drawn)[::-1]:  # large ones first, while there is room
        painting.add_object(float(diameter))
    return painting.finish()


class _Painting:
    """A scene in the making."""

    def __init__(self, generator: Generator, *, height: int, width: int) -> None:
        self.generator = generator
        self.height, self.width = height, width
        self.canvas = _draw_background(generator, height=height, width=width)
        self.taken = np.zeros((height, width), dtype=bool)
        self.objects: list[SceneObject] = []
        self.shadow_casters = np.zeros((height, width), dtype=np.float32)
        self.layers: list[tuple[Stamp, int, int, Floats]] = []

    def add_object(self, diameter: float) -> None:
        """Put a shape of a random class where it touches nothing; give up when there is no such place."""
        shape = SHAPE_CLASSES[self.generator.integers(len(SHAPE_CLASSES))]
        stamp = self._draw_stamp(shape, diameter)
        height, width = stamp.coverage.shape
        out_rows, out_columns = round(_STICK_OUT_SHARE * height), round(_STICK_OUT_SHARE * width)
        for _ in range(_PLACING_ATTEMPTS):
            top = int(self.generator.integers(-out_rows, self.height - height + out_rows + 1))
            left = int(self.generator.integers(-out_columns, self.width - width + out_columns + 1))
            candidate = SceneObject(shape, self._mask_in_picture(stamp, top, left), is_crowd=False)
            if self._is_free(candidate):
                self._place(candidate, [(stamp, top, left)])
                return

    def add_crowd(self) -> None:
        """Fill a part of the picture with tiny shapes of one class on a shaken grid with holes."""
        shape = SHAPE_CLASSES[self.generator.integers(len(SHAPE_CLASSES))]
        num_rows, num_columns = self.generator.integers(5, 9, 2)
        top = self.generator.integers(2, self.height - _CROWD_CELL_PIXELS * num_rows - 2)
        left = self.generator.integers(2, self.width - _CROWD_CELL_PIXELS * num_columns - 2)
        placed = []
        mask = np.zeros_like(self.taken)
        for row, column in np.ndindex(int(num_rows), int(num_columns)):
            stamp = self._draw_stamp(shape, self.generator.uniform(9, 12))
            shake = self.generator.integers(-1, 2, 2)
            is_hole = self.generator.random() < 0.1
            if not is_hole:
                corner = np.array([top, left]) + _CROWD_CELL_PIXELS * np.array([row, column]) + shake
                placed.append((stamp, int(corner[0]), int(corner[1])))
                mask |= self._mask_in_picture(*placed[-1])
        self._place(SceneObject(shape, mask, is_crowd=True), placed)

    def finish(self) -> Scene:
        """Throw the shadows, lay the objects over them and add the grain of a camera."""
        down, right = _SHADOW_SHIFT
        shadow = np.zeros((self.height, self.width), dtype=np.uint8)
        shadow[down:, right:] = 255 * self.shadow_casters[:-down, :-right]
        soft_shadow = Image.fromarray(shadow).filter(ImageFilter.BoxBlur(3))
        self.canvas *= 1 - np.asarray(soft_shadow, dtype=np.float32)[..., None] * (_SHADOW_STRENGTH / 255)
        for stamp, top, left, colours in self.layers:
            self._paint(stamp, top, left, colours)
        self.canvas += 4 * self.generator.standard_normal((self.height, self.width, 1), dtype=np.float32)
        return Scene(self.canvas.clip(0, 255).astype(np.uint8), tuple(self.objects))

    def _draw_stamp(self, shape: ShapeClass, diameter: float) -> Stamp:
        angle = self.generator.uniform(-_LARGEST_TURN, _LARGEST_TURN)
        stretch = _LARGEST_STRETCH ** self.generator.uniform(-1, 1)
        return draw_stamp(shape, diameter=diameter, angle=angle, stretch=stretch)

    def _mask_in_picture(self, stamp: Stamp, top: int, left: int) -> Mask:
        mask = np.zeros_like(self.taken)
        inside, of_stamp = self._overlap(stamp, top, left)
        mask[inside] = stamp.mask[of_stamp]
        return mask

    def _overlap(self, stamp: Stamp, top: int, left: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where a stamp lies in the picture, and which part of it that is."""
        height, width = stamp.coverage.shape
        y1, x1 = max(top, 0), max(left, 0)
        y2, x2 = min(top + height, self.height), min(left + width, self.width)
        return (slice(y1, y2), slice(x1, x2)), (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))

    def _is_free(self, candidate: SceneObject) -> bool:
        if (self.taken & candidate.mask).any():
            return False
        return all(_overlap_share(candidate.box, other.box) <= _LARGEST_BOX_OVERLAP for other in self.objects)

    def _place(self, placed: SceneObject, stamps: Sequence[tuple[Stamp, int, int]]) -> None:
        self.objects.append(placed)
        self.taken |= placed.mask
        x1, y1, x2, y2 = placed.box
        behind = self.canvas[y1:y2, x1:x2].mean(axis=(0, 1))
        for stamp, top, left in stamps:
            self.layers.append((stamp, top, left, _contrasting_colours(self.generator, behind)))
            inside, of_stamp = self._overlap(stamp, top, left)
            self.shadow_casters[inside] = np.maximum(self.shadow_casters[inside], stamp.coverage[of_stamp])

    def _paint(self, stamp: Stamp, top: int, left: int, colours: Floats) -> None:
        inside, of_stamp = self._overlap(stamp, top, left)
        coverage, brightness, light = (
            plane[of_stamp][..., None] for plane in (stamp.coverage, stamp.brightness, stamp.light)
        )
        surface = (colours[0] + brightness * (colours[1] - colours[0])) * light
        self.canvas[inside] += coverage * (surface - self.canvas[inside])


def _draw_background(generator: Generator, *, height: int, width: int) -> Floats:
    """A soft gradient with blotches, irregular blobs and lines; ``(H, W, 3)`` float32 in 0..255."""
    mean = generator.uniform(60, 190) + generator.uniform(-32, 32, 3)
    colours = mean + generator.uniform(-30, 30, (4, 4, 1)) + generator.uniform(-16, 16, (4, 4, 3))
    picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(picture)
    for _ in range(generator.integers(4, 10)):
        draw.polygon(
            _blob_outline(generator, height=height, width=width), fill=_muted_colour(generator, colours)
        )
    for _ in range(generator.integers(3, 9)):
        ends = (generator.uniform(-0.1, 1.1, (2, 2)) * (width, height)).ravel()
        draw.line(ends.tolist(), fill=_muted_colour(generator, colours), width=int(generator.integers(1, 4)))
    canvas = np.array(picture.filter(ImageFilter.BoxBlur(1)), dtype=np.float32)
    coarse = generator.standard_normal((height // 5, width // 5), dtype=np.float32)
    blotches = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    canvas += 6 * np.asarray(blotches, dtype=np.float32)[..., None]
    return canvas


def _blob_outline(generator: Generator, *, height: int, width: int) -> list[tuple[float, float]]:
    """A lumpy closed curve somewhere in the picture."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    radii = np.ones_like(angles)
    for frequency in (2, 3, 5):
        radii += generator.uniform(0.1, 0.25) * np.sin(frequency * angles + generator.uniform(0, 2 * np.pi))
    radii *= generator.uniform(6, 0.2 * min(height, width))
    x = generator.uniform(0, width) + radii * np.cos(angles)
    y = generator.uniform(0, height) + radii * np.sin(angles)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _muted_colour(generator: Generator, near: np.ndarray) -> tuple[int, int, int]:
    """A colour not far from the background's own, so that clutter does not stand out more than objects do."""
    colour = near.mean(axis=(0, 1)) + generator.uniform(-40, 40) + generator.uniform(-35, 35, 3)
    red, green, blue = colour.clip(0, 255).astype(int).tolist()
    return red, green, blue


def _contrasting_colours(generator: Generator, behind: np.ndarray) -> Floats:
    """Two colours ``(2, 3)``, darker first, that differ from each other and from what is behind them."""
    candidates = generator.uniform(15, 245, (16, 3)).astype(np.float32)
    from_behind = np.linalg.norm(candidates - behind, axis=1)
    first = candidates[from_behind.argmax()]
    second = candidates[np.minimum(from_behind, np.linalg.norm(candidates - first, axis=1)).argmax()]
    return np.stack([first, second] if first.sum() < second.sum() else [second, first])


def _overlap_share(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection of two boxes over the area of the smaller one."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(width, 0) * max(height, 0) / smaller
