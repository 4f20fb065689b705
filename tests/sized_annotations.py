"""Annotations of pictures that have nothing but their sizes in common with any."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations


def annotations_of_sizes(sizes: Sequence[tuple[int, int]]) -> CocoAnnotations:
    """Pictures of these sizes, (height, width) in pixels, each with one box."""
    count = len(sizes)
    return CocoAnnotations(
        path=Path("train.json"),
        fingerprint="",
        image_ids=np.arange(count),
        file_names=np.array([f"{index}.jpg" for index in range(count)]),
        sizes=np.array(sizes, dtype=np.int32),
        offsets=np.arange(count + 1),
        boxes=np.tile(np.array([[10, 10, 50, 40]], dtype=np.float32), (count, 1)),
        labels=np.zeros(count, dtype=np.int64),
        is_crowd=np.zeros(count, dtype=np.bool_),
        class_names=("thing",),
        category_ids=(1,),
        dropped_boxes={},
    )
