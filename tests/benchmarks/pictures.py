"""Pictures and annotations like COCO's, made on the spot."""

import json
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from hrdet_cli.engine.data.synthetic_scene import draw_scene

ANNOTATIONS, FOLDER = "train.json", "train2017"

NUM_CLASSES = 80
_QUALITY = 93  # with full chroma resolution, as COCO's files have: about 140 kB for 640x480


def write_pictures(root: Path, *, count: int, height: int, width: int, num_boxes: int) -> int:
    """Write a folder of JPEGs and annotations with random boxes; returns the mean size of a file in bytes."""
    folder = root / FOLDER
    folder.mkdir()
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index in range(count):
        generator = np.random.default_rng(index)
        scene = draw_scene(generator, height=height, width=width, num_objects=8, has_crowd=False)
        name = f"{index:012}.jpg"
        Image.fromarray(scene.pixels).save(folder / name, quality=_QUALITY, subsampling="4:4:4")
        images.append({"id": index, "file_name": name, "height": height, "width": width})
        boxes = _random_boxes(generator, height=height, width=width, count=num_boxes)
        annotations += [
            {
                "id": len(annotations) + number,
                "image_id": index,
                "category_id": 1 + number % NUM_CLASSES,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
            }
            for number, box in enumerate(boxes)
        ]
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, NUM_CLASSES + 1)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / ANNOTATIONS).write_text(json.dumps(document), encoding="utf-8")
    return sum(path.stat().st_size for path in folder.iterdir()) // count


def write_archive(archive: Path, folder: Path, *, num_entries: int) -> None:
    """Store a folder's files in a zip and fill it with tiny members up to a number of entries."""
    files = sorted(folder.iterdir())
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for path in files:
            target.write(path, f"{folder.name}/{path.name}")
        for number in range(len(files), num_entries):
            target.writestr(f"{folder.name}/{number:012}.jpg", b"filler")


def _random_boxes(
    generator: np.random.Generator, *, height: int, width: int, count: int
) -> list[tuple[float, float, float, float]]:
    """COCO boxes ``(x, y, width, height)`` inside the picture, with sides from 8 pixels to a third of it."""
    sides = generator.uniform(8, (width / 3, height / 3), (count, 2))
    corners = generator.uniform(0, (width, height) - sides)
    return [(x, y, w, h) for (x, y), (w, h) in zip(corners.tolist(), sides.tolist(), strict=True)]
