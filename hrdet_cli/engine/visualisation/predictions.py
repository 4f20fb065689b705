"""A picture with what a detector found in it drawn over it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.visualisation.lettering import LabelWriter, Rectangle
from hrdet_cli.engine.visualisation.mask_overlay import lay_over, veils_of
from hrdet_cli.engine.visualisation.overlay import draw_box
from hrdet_cli.engine.visualisation.palette import class_colour

_READABLE_EDGE = 480
_LARGEST_ZOOM = 8
_SMALLEST_LETTERS, _LETTERS_PER_EDGE = 12, 75
_THINNEST_LINE, _LINES_PER_EDGE = 2, 400


def draw_predictions(
    pixels: NDArray[np.uint8],
    *,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32],
    masks: MaskRuns | None = None,
    class_names: Sequence[str],
) -> Image.Image:
    """Draw boxes with class and score, over masks where there are some.

    Lines and letters grow with the picture, so that they can still be read when a large one is looked at
    whole.  A picture whose longer edge is under 480 pixels is enlarged, by a whole number up to 8, since
    letters have a smallest size.  Where no place for a label is left, the box's colour has to do.

    Args:
        pixels: ``(H, W, 3)`` uint8, RGB.
        boxes: ``(D, 4)`` float32 in its pixels, best first: the first ones get the best places for labels.
        labels: ``(D,)`` int64.
        scores: ``(D,)`` float32 in [0, 1].
        masks: Of the D objects; None where boxes alone were looked for.
        class_names: Name of each label.

    Returns:
        An RGB picture of the same shape.
    """
    long_edge = max(pixels.shape[:2])
    zoom = min(-(-_READABLE_EDGE // long_edge), _LARGEST_ZOOM)
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if zoom > 1:
        picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.BICUBIC)
    long_edge *= zoom
    line = max(_THINNEST_LINE, round(long_edge / _LINES_PER_EDGE))
    if masks is not None:
        picture = lay_over(picture, veils_of(masks, labels.tolist(), picture.size), line=line // 2)
    draw = ImageDraw.Draw(picture)
    rectangles: list[Rectangle] = [tuple(box) for box in (boxes * zoom).tolist()]
    for rectangle, label in reversed(list(zip(rectangles, labels.tolist(), strict=True))):  # best on top
        draw_box(draw, rectangle, class_colour(label), width=line)
    letters = max(_SMALLEST_LETTERS, round(long_edge / _LETTERS_PER_EDGE))
    writer = LabelWriter(draw, bounds=(0, 0, *picture.size), boxes=rectangles, size=letters)
    for rectangle, label, score in zip(rectangles, labels.tolist(), scores.tolist(), strict=True):
        writer.write(f"{class_names[label]} {score:.2f}", box=rectangle, colour=class_colour(label))
    return picture
