"""Detections and objects by hand, ready to be compared."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.comparison import Comparison, Objects

EDGE = 1000
"""Of all pictures."""

Box = tuple[float, float, float, float]
"""x, y, width and height."""
True_ = tuple[int, int, Box]
"""Picture, class and box of an object."""
Found = tuple[int, int, Box, float]
"""Likewise of a detection, with its score."""


def comparison_of(
    true: Sequence[True_],
    found: Sequence[Found],
    *,
    crowd: Sequence[int] = (),
    num_classes: int = 2,
    num_pictures: int = 2,
) -> Comparison:
    """A comparison of boxes.

    Args:
        true: Objects.
        found: Detections.
        crowd: Rows of ``true`` that are crowd regions.
        num_classes: K.
        num_pictures: M.
    """
    is_crowd = np.zeros(len(true), dtype=np.bool_)
    is_crowd[list(crowd)] = True
    return Comparison(
        task="box",
        truth=_objects(true),
        is_crowd=is_crowd,
        found=_objects([one[:3] for one in found]),
        scores=np.array([one[3] for one in found], dtype=np.float64),
        picture_sizes=np.full((num_pictures, 2), EDGE, dtype=np.int32),
        num_classes=num_classes,
        limits=(100,),
    )


def random_comparison(seed: int, *, num_crowd: int = 0) -> Comparison:
    """Eight pictures of three classes; most detections lie near an object, some of another class."""
    random = np.random.default_rng(seed)

    def boxes(number: int) -> NDArray[np.float64]:
        return np.concatenate([random.uniform(0, 250, (number, 2)), random.uniform(20, 150, (number, 2))], 1)

    num_true, num_found = 40, 160
    true = [
        (int(random.integers(8)), int(random.integers(3)), tuple(box.tolist())) for box in boxes(num_true)
    ]
    found = []
    for box in boxes(num_found):
        picture, label, near = true[int(random.integers(num_true))]
        if random.random() < 0.8:
            box = np.array(near) * random.uniform(0.7, 1.4, 4)
        if random.random() < 0.3:
            label = int(random.integers(3))
        found.append((picture, label, tuple(box.tolist()), float(random.random())))
    return comparison_of(true, found, crowd=range(num_crowd), num_classes=3, num_pictures=9)


def _objects(rows: Sequence[True_]) -> Objects:
    boxes = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 4)
    return Objects(
        pictures=np.array([row[0] for row in rows], dtype=np.int64),
        classes=np.array([row[1] for row in rows], dtype=np.int64),
        boxes=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
    )
