"""Pictures by their sizes, and by the canvases that these need. Does not import torch."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import StepCanvases
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError


def count_sizes(annotations: CocoAnnotations, indices: NDArray[np.int64]) -> Counter[Size]:
    """How many of the pictures have each size."""
    unique, counts = np.unique(annotations.sizes[indices], axis=0, return_counts=True)
    return Counter(
        {
            Size(height, width): count
            for (height, width), count in zip(unique.tolist(), counts.tolist(), strict=True)
        }
    )


def classes_by_canvas(
    sizes: NDArray[np.int32], augmentation: Augmentation, padding: StepCanvases
) -> NDArray[np.int64]:
    """Number pictures ``(M, 2)`` so that equal numbers need equal canvases at every scale.

    Neighbouring numbers need similar ones: classes are numbered by the pixels of their canvases.
    """
    scales = augmentation.typical_scales()
    unique, class_of_size = np.unique(sizes, axis=0, return_inverse=True)
    needed = []
    for height, width in unique.tolist():
        placed = [augmentation.placed_size(Size(height, width), scale) for scale in scales]
        try:
            canvases = tuple(padding.canvas_for([size]) for size in placed)
        except DataError as error:
            raise DataError(f"pictures of {width}x{height}: {error}") from error
        needed.append((sum(canvas.num_pixels for canvas in canvases), canvases))
    number_of = {canvases: number for number, canvases in enumerate(sorted(set(needed)))}
    numbers = np.array([number_of[canvases] for canvases in needed], dtype=np.int64)
    return numbers[class_of_size.ravel()]
