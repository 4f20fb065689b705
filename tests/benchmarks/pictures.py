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


def write_annotations(path: Path, *, num_pictures: int, num_boxes: int, height: int, width: int) -> None:
    """Write annotations as long as COCO's: with polygons, areas and where each picture comes from."""
    chance = np.random.default_rng(0)
    outlines = [
        json.dumps([(chance.random(2 * int(count)) * height).round(2).tolist()])
        for count in 6 + chance.gamma(1.6, 11, 1000)
    ]
    boxes = _random_boxes(chance, height=height, width=width, count=num_boxes)
    owners = chance.integers(0, num_pictures, num_boxes).tolist()
    classes = chance.integers(1, NUM_CLASSES + 1, num_boxes).tolist()
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {}, "licenses": [], "images": [')
        for index in range(num_pictures):
            name = f"{index:012}.jpg"
            url = f"http://images.cocodataset.org/train2017/{name}"
            image = {"license": 3, "file_name": name, "coco_url": url, "height": height, "width": width}
            image |= {"date_captured": "2013-11-14 11:18:45", "flickr_url": f"http://{name}", "id": index}
            file.write((", " if index else "") + json.dumps(image))
        file.write('], "annotations": [')
        for index, (box, owner, kind) in enumerate(zip(boxes, owners, classes, strict=True)):
            x, y, w, h = (round(edge, 2) for edge in box)
            annotation = {"area": w * h, "iscrowd": 0, "image_id": owner, "bbox": [x, y, w, h]}
            annotation |= {"category_id": kind, "id": index}
            outline = outlines[index % len(outlines)]
            start = ", " if index else ""
            file.write(f'{start}{{"segmentation": {outline}, {json.dumps(annotation)[1:]}')
        categories = [{"id": number, "name": f"class {number}"} for number in range(1, NUM_CLASSES + 1)]
        file.write(f'], "categories": {json.dumps(categories)}}}')


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
