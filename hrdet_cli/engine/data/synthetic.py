"""Demo data made on the spot: COCO annotations and a zip of pictures, the same bytes for the same seed.

A small but whole data set: two parts, six classes whose category ids have gaps, both orientations, JPEG and
PNG, a gray picture, crowd regions and empty pictures.  Masks are exact: polygons around the pixels, and run
lengths where these enclose others, as of rings, or are a crowd's.  The annotations name a picture
``train_0001.jpg`` and the zip holds it as ``images/train_0001.jpg``.
"""

import io
import itertools
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hrdet_cli.activity import each
from hrdet_cli.engine.data.outlines import outlines_of
from hrdet_cli.engine.data.synthetic_scene import Scene, SceneObject, draw_scene
from hrdet_cli.engine.data.synthetic_shapes import SHAPE_CLASSES, Mask
from hrdet_cli.errors import DataError

FILE_NAMES = ("train.json", "val.json", "images.zip", "demo.json")

_RECIPE_VERSION = 2  # raised when the same arguments begin to make other bytes
_EQUAL_VERSIONS = (1,)  # made the same pictures and the same masks, all of them written as run lengths
_PARTS = ("train", "val")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)

# (height, width) in turn: landscape and portrait alternate, so that even two pictures have both.
_SIZES = ((240, 320), (320, 240), (224, 288), (288, 224), (240, 320), (320, 240), (216, 320), (320, 212))


def make_demo_data(folder: Path, *, seed: int, num_train_images: int, num_val_images: int) -> None:
    """Make ``train.json``, ``val.json``, ``images.zip`` and ``demo.json``, which records the arguments.

    The folder appears whole or not at all.  Data that the same arguments made earlier are kept.

    Args:
        folder: Where to put them; its parents are made when missing.
        seed: Not negative; decides every picture.
        num_train_images: Pictures of the training part.
        num_val_images: Pictures of the validation part.

    Raises:
        DataError: The folder holds something else, or cannot be written.
    """
    arguments = {
        "recipe_version": _RECIPE_VERSION,
        "seed": seed,
        "num_train_images": num_train_images,
        "num_val_images": num_val_images,
    }
    if _holds_demo_data(folder, arguments):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            finished = Path(scratch) / folder.name
            finished.mkdir()
            _write_demo_data(finished, arguments)
            finished.rename(folder)
    except OSError as error:
        if _holds_demo_data(folder, arguments):  # another process was faster
            return
        raise DataError(
            f"{folder}: the demo data cannot be written ({error}); choose another folder"
        ) from error


def _holds_demo_data(folder: Path, arguments: dict[str, int]) -> bool:
    """Whether the data are there already; anything else in the folder is an error."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = json.loads((folder / "demo.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{folder}: exists and is not demo data of hrdet; choose another folder or remove this one"
        ) from None
    if found not in [
        arguments | {"recipe_version": number} for number in (_RECIPE_VERSION, *_EQUAL_VERSIONS)
    ]:
        raise DataError(
            f"{folder}: holds demo data made with {_as_text(found)}, but {_as_text(arguments)} is wanted; "
            "choose another folder or remove this one"
        )
    missing = [name for name in FILE_NAMES if not (folder / name).is_file()]
    if missing:
        raise DataError(
            f"{folder}: demo data without {', '.join(missing)}; remove the folder to have it made again"
        )
    return True


def _as_text(arguments: Any) -> str:
    if not isinstance(arguments, dict):
        return "unknown arguments"
    return ", ".join(f"{name} {value}" for name, value in arguments.items())


def _write_demo_data(folder: Path, arguments: dict[str, int]) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for part in _PARTS:
            document = _make_part(part, arguments[f"num_{part}_images"], arguments["seed"], archive)
            _write_json(folder / f"{part}.json", document)
    _write_json(folder / "demo.json", arguments)


def _make_part(part: str, num_images: int, seed: int, archive: zipfile.ZipFile) -> dict[str, Any]:
    """Put a part's pictures into the archive and return its COCO document."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    first_id = 1 + 100_000 * _PARTS.index(part)
    what = f"drawing the demo's {part} pictures"
    for index in each(range(num_images), what, num_in_all=num_images, unit="pictures"):
        scene = _draw_picture(seed=seed, part=part, index=index)
        name, data = _encode(scene, part=part, index=index)
        entry = zipfile.ZipInfo(f"images/{name}", date_time=_ZIP_DATE)
        entry.create_system, entry.external_attr = 3, 0o644 << 16  # the same bytes on every system
        archive.writestr(entry, data)
        height, width = scene.pixels.shape[:2]
        images.append({"id": first_id + index, "file_name": name, "height": height, "width": width})
        annotations += [
            {"id": first_id + len(annotations) + number, "image_id": first_id + index, **_describe(found)}
            for number, found in enumerate(scene.objects)
        ]
    return {
        "info": {"description": f"hrdet demo data, {part} part, seed {seed}"},
        "categories": [{"id": shape.category_id, "name": shape.name} for shape in SHAPE_CLASSES],
        "images": images,
        "annotations": annotations,
    }


def _draw_picture(*, seed: int, part: str, index: int) -> Scene:
    """A picture depends on these three alone: asking for more pictures leaves the first ones as they are."""
    generator = np.random.default_rng([seed, _PARTS.index(part), index])
    height, width = _SIZES[index % len(_SIZES)]
    is_empty = index % 16 == 3
    has_crowd = index % 8 == 2
    num_objects = 0 if is_empty else int(generator.integers(2, 5 if has_crowd else 8))
    return draw_scene(generator, height=height, width=width, num_objects=num_objects, has_crowd=has_crowd)


def _encode(scene: Scene, *, part: str, index: int) -> tuple[str, bytes]:
    """File name and bytes: JPEG mostly, every sixteenth picture a PNG, the second of each part gray."""
    picture = Image.fromarray(scene.pixels)
    if index == 1:
        picture = picture.convert("L")
    is_png = index % 16 == 4
    buffer = io.BytesIO()
    if is_png:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=90)
    return f"{part}_{index + 1:04d}.{'png' if is_png else 'jpg'}", buffer.getvalue()


def _describe(found: SceneObject) -> dict[str, Any]:
    """COCO's fields of one annotation but its ids."""
    x1, y1, x2, y2 = found.box
    outlines = None if found.is_crowd else outlines_of(found.mask)
    runs = {"size": list(found.mask.shape), "counts": _run_lengths(found.mask)}
    return {
        "category_id": found.shape.category_id,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": int(found.mask.sum()),
        "iscrowd": int(found.is_crowd),
        "segmentation": runs if outlines is None else outlines,
    }


def _run_lengths(mask: Mask) -> list[int]:
    """COCO's uncompressed run-length code: down the columns, beginning with the number of pixels outside."""
    flat = np.concatenate(([False], mask.ravel(order="F")))
    changes = np.flatnonzero(flat[1:] != flat[:-1]).tolist()
    return [end - start for start, end in itertools.pairwise([0, *changes, mask.size])]


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8", newline="\n")
