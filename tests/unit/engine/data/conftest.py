import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco

settings.register_profile("no-deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no-deadline")

_SHARED_DATA = Path(__file__).parents[4].parent / "shared" / "data"
_LANDSCAPE, _PORTRAIT, _SQUARE = (60, 40), (40, 60), (48, 48)  # width, height
_SIZES = [_LANDSCAPE] * 6 + [_PORTRAIT] * 3 + [_SQUARE, _LANDSCAPE]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets that lie beside the checkout on some machines."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"needs the data sets in {_SHARED_DATA}")
    return _SHARED_DATA


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy pictures of both orientations and a square; picture i has i boxes and two crowd regions.

    What an object covers is the upper left half of its box: a polygon, or for every third its pixels' runs.
    """
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, (width, height) in enumerate(_SIZES):
        name = f"{index}.png"
        Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / name)
        images.append({"id": 100 + index, "file_name": name, "width": width, "height": height})
        boxes = [[*noise.integers(0, 25, 2).tolist(), 10, 12] for _ in range(index)]
        crowd = [[0, 0, width, height], [width - 10, height - 10, 10, 10]]
        for box, is_crowd in [(box, 0) for box in boxes] + [(box, 1) for box in crowd]:
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": 100 + index,
                    "category_id": 7,
                    "bbox": box,
                    "iscrowd": is_crowd,
                    "segmentation": []
                    if is_crowd
                    else _upper_left_half(box, (height, width), len(annotations)),
                }
            )
    content = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "thing"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def _upper_left_half(box: list[int], size: tuple[int, int], number: int) -> Any:
    x, y, width, height = box
    if number % 3:
        return [[x, y, x + width, y, x, y + height]]
    columns, rows = (np.arange(width) + 0.5) / width, (np.arange(height)[:, None] + 0.5) / height
    bitmap = np.zeros(size, dtype=np.bool_)
    bitmap[y : y + height, x : x + width] = columns + rows < 1
    changes = np.flatnonzero(np.diff(bitmap.ravel(order="F"), prepend=False))
    return {"size": list(size), "counts": np.diff([0, *changes, bitmap.size]).tolist()}


@pytest.fixture(scope="session")
def outlined_annotations(pictures_folder: Path) -> CocoAnnotations:
    """The same with segmentations."""
    return load_coco(pictures_folder / "annotations.json", with_masks=True)


@pytest.fixture(scope="session")
def annotations(pictures_folder: Path) -> CocoAnnotations:
    """Annotations of ``pictures_folder``."""
    return load_coco(pictures_folder / "annotations.json")
