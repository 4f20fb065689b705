"""What there is to find, read from the annotation file once more: training keeps less of it."""

import hashlib
import json
from typing import Any

import msgspec
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.annotation_file import annotation_file_of, without_cycle_search
from hrdet_cli.engine.data.annotation_values import ANYTHING, AREA, BOX, FLAG, ID
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.json_text import int_of
from hrdet_cli.engine.data.segmentation_values import FEWEST_NUMBERS, polygons_in, runs_in
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

_KINDS = {"image_id": ID, "category_id": ID, "bbox": BOX, "area": AREA, "iscrowd": FLAG}
_SEGMENTATION = "segmentation"


def read_truth(annotations: CocoAnnotations, *, with_masks: bool) -> list[dict[str, Any]]:
    """All annotations of a file, with the keys that they are scored by, and no others.

    Args:
        annotations: As `load_coco` read them.
        with_masks: Whether those that have a mask get it, as ``segmentation``: COCO's packed run lengths.

    Raises:
        DataError: The file has changed since it was loaded, or a segmentation is neither polygons nor runs.
    """
    path = annotations.path
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read any more: {error.strerror}") from error
    if hashlib.sha256(raw).hexdigest() != annotations.fingerprint:
        raise DataError(f"{path} has changed since it was loaded; evaluate again")
    with without_cycle_search():
        table = annotation_file_of(raw, path=path, with_segmentations=with_masks).annotations
        columns = [table.column(key, kind) for key, kind in _KINDS.items()]
        items = [dict(zip(_KINDS, values, strict=True)) for values in zip(*columns, strict=True)]
        if with_masks:
            _add_masks(annotations, items, table.column(_SEGMENTATION, ANYTHING))
    return items


def _add_masks(annotations: CocoAnnotations, items: list[dict[str, Any]], given: list[Any]) -> None:
    sizes = {
        number: Size(height, width)
        for number, (height, width) in zip(
            annotations.image_ids.tolist(), annotations.sizes.tolist(), strict=True
        )
    }
    for row, (item, value) in enumerate(zip(items, given, strict=True)):
        try:
            runs = _packed(value, sizes[item["image_id"]])
        except ValueError as error:
            raise DataError(
                f"{annotations.path}: annotations[{row}]: {_SEGMENTATION} {error}; masks cannot be scored "
                "with it: mend it, or leave it out"
            ) from error
        if runs is not None:
            item[_SEGMENTATION] = runs


def _packed(value: Any, size: Size) -> dict[str, Any] | None:
    """A segmentation as packed run lengths, by pycocotools; None where it covers nothing.

    Raises:
        ValueError: It is no segmentation of a picture of this size; says why.
    """
    if isinstance(value, msgspec.Raw):
        value = json.loads(bytes(value), parse_int=int_of)
    if value is None:
        return None
    if isinstance(value, list):
        # With four numbers pycocotools takes a polygon for a box.
        polygons = [polygon for polygon in polygons_in(value) if len(polygon) >= FEWEST_NUMBERS]
        if not polygons:
            return None
        packed: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(polygons, size.height, size.width))
        return packed
    lengths = runs_in(value, size)
    if not lengths[1::2].any():
        return None
    runs = {"size": [size.height, size.width], "counts": lengths.tolist()}
    packed = coco_mask.frPyObjects(runs, size.height, size.width)
    return packed  # noqa: RET504 - pycocotools has no types
