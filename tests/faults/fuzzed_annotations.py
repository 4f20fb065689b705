"""Broken annotation files: ``load_coco``, ``check-data``'s reader and COCO's scores of what was accepted.

The oracle reads an accepted file again with Python's own ``json`` and says by COCO's rules whether it may be
accepted, and what must have come out, in float64.
"""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hrdet_cli.engine.data.checking.annotations import check_annotations, read_json
from hrdet_cli.engine.data.checking.boxes import check_places
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.mask_frames import draw_frames
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError
from tests.detection_tables import score_detections
from tests.faults.fuzz import Case
from tests.faults.mutation import damage, mutate

_DEEP = 100_000
_BOXES = ([-9, -9, 4, 4], [1, 1, -5, 5], [0, 0, 1e9, 1e9], [3, 3, 0, 7], [50, 40, 1, 1], [5.5, 6.25, 0.99, 9])


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "annotations.json"
        categories = [{"id": number, "name": name} for number, name in ((3, "cat"), (1, "dog"), (9, "öl"))]
        images = [
            {"id": 10 * row, "file_name": f"a/{row}.jpg", "height": 40 + row, "width": 60}
            for row in range(1, 6)
        ]
        annotations = [
            {
                "id": row,
                "image_id": 10 * (1 + row % 5),
                "category_id": (3, 1, 9)[row % 3],
                "bbox": [row, 2.5, 20 + row, 60 - row],
                "area": 100.5,
                "iscrowd": int(row == 4),
                "segmentation": (
                    {"size": [41 + row % 5, 60], "counts": [9, 20, 60 * (41 + row % 5) - 29]}
                    if row % 4 == 0
                    else [[1, 1, 2, 2, 3, 1.5]]
                ),
            }
            for row in range(1, 13)
        ]
        self._whole = {
            "info": {"year": "ö"},
            "images": images,
            "annotations": annotations,
            "categories": categories,
        }

    def case(self, rng: random.Random) -> Case:
        """One to three changes of values, or one of the text."""
        what, value = [], self._whole
        for _ in range(rng.choice((1, 1, 2, 3))):
            change, value = mutate(rng, value)
            what.append(change)
        raw = json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        if rng.random() < 0.45:
            change, raw = _change_text(rng, json.dumps(self._whole).encode())
            what = [change]
        self._path.write_bytes(raw)
        return Case("; ".join(what), [str(self._path)], lambda: self._attempt(raw))

    def _attempt(self, raw: bytes) -> str | None:
        log = ProblemLog(num_described=3)
        try:
            check_annotations(read_json(self._path), log)
            has_errors = any(kind.is_error for kind in log.counts)
        except DataError:
            has_errors = True
        try:
            loaded = load_coco(self._path, with_truth=True)
        except DataError as error:
            if not has_errors:
                raise AssertionError("check-data finds no error in what is refused") from error
            raise
        score_detections(loaded, DetectionTable.of([]))
        _load_with_masks(self._path)
        wrong = _what_is_wrong(json.loads(raw, parse_int=_int_of), loaded)
        return wrong or ("check-data finds an error" if has_errors else None)


def _load_with_masks(path: Path) -> None:
    """The same with masks, of a file whose boxes are right: check-data must say why where it is refused."""
    log = ProblemLog(num_described=3)
    file = check_annotations(read_json(path), log)
    annotations = check_places(file.annotations, file.pictures.sizes)
    check_masks(annotations, file.pictures.sizes, log, file=path.name, matter=True)
    has_errors = any(kind.is_error for kind in log.counts)
    try:
        loaded = load_coco(path, with_masks=True, with_truth=True)
    except DataError as error:
        if not has_errors:
            raise AssertionError("check-data finds no error in masks that are refused") from error
        return
    original = Size(48, 64)
    for index in range(len(loaded)):
        boxes, _ = loaded.targets_of(index)
        segmentations = loaded.segmentations_of(index, np.ones(len(boxes), dtype=np.bool_))
        draw_frames(segmentations, boxes, original, Placement(Size(30, 41), flipped=True))


def _int_of(text: str) -> float:
    return int(text) if len(text) < 4000 else math.inf


def _change_text(rng: random.Random, raw: bytes) -> tuple[str, bytes]:
    depth = rng.choice((100, 900, 5000, _DEEP))
    number = rng.choice((b"1e999", b"-1e999", b"1" * 5000, b"0x10", b"01", b"1_0", b"+1", b"1.", b"Infinity"))
    box = json.dumps(rng.choice(_BOXES)).encode()
    changes: dict[str, Callable[[], tuple[str, bytes]]] = {
        "bytes": lambda: damage(rng, raw),
        "odd number": lambda: (
            f"width {number!r:.20}",
            raw.replace(b'"width": 60', b'"width": ' + number, 1),
        ),
        "odd id": lambda: (f"id {number!r:.20}", raw.replace(b'"image_id": 20', b'"image_id": ' + number, 1)),
        "deep": lambda: (f"{depth} deep", raw.replace(b"100.5", b"[" * depth + b"]" * depth, 1)),
        "deep top": lambda: (f"{depth} deep above", b'{"a":' * depth + raw + b"}" * depth),
        "box": lambda: (f"box {box!r}", raw.replace(b"[2, 2.5, 22, 58]", box, 1)),
        "key twice": lambda: ("a key twice", raw.replace(b'"bbox":', b'"bbox": [1, 1, 9, 9], "bbox":', 1)),
        "list twice": lambda: ("a list twice", raw.replace(b'"images":', b'"images": [], "images":', 1)),
        "mark": lambda: ("byte order mark", b"\xef\xbb\xbf" + raw),
        "utf-16": lambda: ("UTF-16", raw.decode().encode("utf-16")),
        "latin-1": lambda: ("Latin-1", raw.replace(b"\\u00f6", b"\xf6", rng.choice((1, 2)))),
        "deep unused": lambda: (
            f"{depth} deep unused",
            raw.replace(b"1.5]", b"[" * depth + b"]" * depth + b"]", 1),
        ),
        "odd unused": lambda: (f"unused {number!r:.20}", raw.replace(b"3, 1.5]", number + b"]", 1)),
        "comment": lambda: ("comment", b"// COCO\n" + raw),
    }
    return changes[rng.choice(list(changes))]()


def _what_is_wrong_with_entries(document: Any) -> str | None:
    images = document["images"]
    if len({image["file_name"] for image in images}) < len(images):
        return "a file is listed twice"
    for items in (images, document["categories"], document["annotations"]):
        numbers = [item["id"] for item in items]
        if not all(type(number) is int for number in numbers) or len(set(numbers)) < len(numbers):
            return "ids are no integers or not unique"
    for image in images:
        if not all(type(image[edge]) is int and image[edge] > 0 for edge in ("height", "width")):
            return "a size is no positive integer"
        if image["file_name"].startswith("/") or ".." in image["file_name"]:
            return "a name leads out of the folder"
    return None


def _what_is_wrong(document: Any, loaded: CocoAnnotations) -> str | None:
    images, categories = document["images"], document["categories"]
    ids = [image["id"] for image in images]
    if wrong := _what_is_wrong_with_entries(document):
        return wrong
    expected, crowds = [], []
    for item in sorted(document["annotations"], key=lambda item: ids.index(item["image_id"])):
        x, y, width, height = map(float, item["bbox"])
        if not all(map(math.isfinite, (x, y, width, height))):
            return "a box is not finite"
        area = item.get("area")
        if area is not None and not (math.isfinite(area) and area >= 0):
            return "an area is no size"
        image = images[ids.index(item["image_id"])]
        left, right = np.clip([x, x + width], 0, image["width"])
        top, bottom = np.clip([y, y + height], 0, image["height"])
        label = [category["id"] for category in categories].index(item["category_id"])
        if min(width, height) >= 1 and min(right - left, bottom - top) >= 0.999:
            expected.append([left, top, right, bottom, label])
            crowds.append(bool(item.get("iscrowd", 0)))
    found = np.concatenate([loaded.boxes, loaded.labels[:, None]], axis=1)
    same = np.array_equal(found, np.array(expected).reshape(-1, 5).astype(np.float32))
    sizes = [[image["height"], image["width"]] for image in images]
    if not same or loaded.sizes.tolist() != sizes or loaded.image_ids.tolist() != ids:
        return "boxes, labels, sizes or ids are not those of the file"
    if loaded.is_crowd.tolist() != crowds or loaded.file_names.tolist() != [i["file_name"] for i in images]:
        return "crowds or names are not those of the file"
    return None
