"""Label maps laid over pictures: a thin veil in a colour for each label, below masks and boxes."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.semantic_labels import LABEL_MAP_STRIDE, UNLABELLED
from hrdet_cli.engine.visualisation.palette import class_colour

_VEIL = 0.35  # how much of a pixel's colour is the label's
_COLOURS = np.array([class_colour(label) for label in range(UNLABELLED + 1)], dtype=np.float32)


def lay_labels_over(picture: Image.Image, labels: NDArray[np.uint8], *, zoom: float) -> Image.Image:
    """Lay a label map over a picture. Unlabelled pixels stay as they are.

    Args:
        picture: RGB, as it is drawn.
        labels: ``(h, w)`` uint8, one for each square of 8 pixels a side; more than the picture has are lost.
        zoom: Pixels of the drawing for a pixel of the picture.

    Returns:
        Another picture of the same size.
    """
    rows, columns = (
        ((np.arange(side) + 0.5) / (zoom * LABEL_MAP_STRIDE)).astype(np.int64).clip(max=num_labels - 1)
        for side, num_labels in zip((picture.height, picture.width), labels.shape, strict=True)
    )
    placed = labels[np.ix_(rows, columns)]
    pixels = np.asarray(picture).astype(np.float32)
    weights = np.where(placed == UNLABELLED, 0, _VEIL)[..., None]
    mixed = pixels + weights * (_COLOURS[placed] - pixels)
    return Image.fromarray(mixed.round().astype(np.uint8))
