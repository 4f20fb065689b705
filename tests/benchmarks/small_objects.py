"""Large pictures of small objects, drawn by the demo's generator: what tiles are for.

    python -m tests.benchmarks.small_objects FOLDER

writes ``train.json``, ``val.json`` and ``images/``: pictures of 1280x960 pixels, each with up to 150 objects
of 11 to 13 pixels and six classes.
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from hrdet_cli.engine.data.synthetic_scene import draw_scene
from hrdet_cli.engine.data.synthetic_shapes import SHAPE_CLASSES

NUM_PICTURES = {"train": 12, "val": 4}
HEIGHT, WIDTH, NUM_OBJECTS, DIAMETERS = 960, 1280, 150, (11.0, 13.0)


def write_part(folder: Path, part: str, count: int) -> None:
    """Draw a part's pictures and write its annotations."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index in range(count):
        scene = draw_scene(
            np.random.default_rng([len(part), index]),
            height=HEIGHT,
            width=WIDTH,
            num_objects=NUM_OBJECTS,
            has_crowd=False,
            diameters=DIAMETERS,
        )
        name = f"{part}_{index}.jpg"
        Image.fromarray(scene.pixels).save(folder / "images" / name, quality=95, subsampling="4:4:4")
        images.append({"id": index, "file_name": name, "height": HEIGHT, "width": WIDTH})
        for found in scene.objects:
            x1, y1, x2, y2 = found.box
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": index,
                    "category_id": found.shape.category_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(found.mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": shape.category_id, "name": shape.name} for shape in SHAPE_CLASSES]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{part}.json").write_text(json.dumps(document), encoding="utf-8")


def main() -> None:
    """Write both parts."""
    folder = Path(sys.argv[1])
    (folder / "images").mkdir(parents=True)
    for part, count in NUM_PICTURES.items():
        write_part(folder, part, count)


if __name__ == "__main__":
    main()
