"""Detections in COCO's results format, neither perfect nor hopeless, made of the ground truth itself."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # mmdetection's environment, where this runs too, has no hrdet
    from hrdet_cli.engine.evaluation.coco_results import CocoResult


def make_results(annotation_file: Path) -> "list[CocoResult]":
    """Three boxes for each annotated one, moved by up to a quarter of its size, a fifth of another class.

    Coordinates are in quarters of a pixel, so that x + width - x is width again in every float.
    """
    content = json.loads(annotation_file.read_text())
    category_ids = [category["id"] for category in content["categories"]]
    random = np.random.RandomState(5)
    results: list[CocoResult] = []
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        for _ in range(3):
            shift = random.uniform(-0.25, 0.25, 4) * (width, height, width, height)
            box = np.round(4 * (np.array([x, y, width, height]) + shift)) / 4
            category = annotation["category_id"] if random.rand() < 0.8 else random.choice(category_ids)
            results.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": int(category),
                    "bbox": [float(edge) for edge in box],
                    "score": float(np.float32(random.rand())),
                }
            )
    return results
