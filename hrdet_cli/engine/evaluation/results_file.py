"""Detections that lie in a file, in COCO's results format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.json_text import read_bytes, utf8_of
from hrdet_cli.engine.data.run_lengths import unpack_all
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.errors import DataError
from hrdet_cli.wording import counted, first_few

_Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Mask(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


class _Result(msgspec.Struct, gc=False):
    image_id: _Id
    category_id: _Id
    bbox: tuple[float, float, float, float]
    score: float
    segmentation: _Mask | None = None


def read_results(path: Path, annotations: CocoAnnotations) -> tuple[DetectionTable, int]:
    """Detections of pictures of an annotation file, and how many of other classes there were.

    Those of a picture keep their order. Masks are there where every detection has one.

    Args:
        path: A list of results, as `hrdet eval` and pycocotools write it.
        annotations: With the pictures; detections of classes that they do not have are left out.

    Raises:
        DataError: It is none, or of other pictures, or a mask is not of its picture.
    """
    text = utf8_of(read_bytes(path), path=path)
    try:
        results = msgspec.json.decode(text, type=list[_Result])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: is no list of detections in COCO's results format: {error}. Each needs image_id, "
            "category_id, bbox as [x, y, width, height] and score; a segmentation is packed run lengths"
        ) from error
    image_ids = _column(results, "image_id")
    unknown = np.setdiff1d(image_ids, annotations.image_ids)
    if len(unknown):
        raise DataError(
            f"{path}: has detections in {counted(len(unknown), 'picture')} that {annotations.title} does not "
            f"have, with image_id {first_few(unknown.tolist())}; name the annotations that they are of: "
            "--val-data SOURCE IMAGES"
        )
    label_by_id = {number: label for label, number in enumerate(annotations.category_ids)}
    labels = np.array([label_by_id.get(result.category_id, -1) for result in results], dtype=np.int64)
    rows = np.flatnonzero(labels >= 0)
    rows = rows[np.argsort(image_ids[rows], kind="stable")]
    found = [results[row] for row in rows.tolist()]
    table = DetectionTable(
        image_ids=image_ids[rows],
        labels=labels[rows],
        boxes=np.array([result.bbox for result in found], dtype=np.float64).reshape(-1, 4),
        scores=np.array([result.score for result in found], dtype=np.float64),
        masks=_masks(path, found, annotations),
    )
    return table, len(results) - len(rows)


def _column(results: Sequence[_Result], name: str) -> NDArray[np.int64]:
    return np.array([getattr(result, name) for result in results], dtype=np.int64)


def _masks(
    path: Path, results: Sequence[_Result], annotations: CocoAnnotations
) -> Sequence[dict[str, Any]] | None:
    masks = [result.segmentation for result in results if result.segmentation is not None]
    if not masks or len(masks) < len(results):
        return None
    order = np.argsort(annotations.image_ids)
    places = order[np.searchsorted(annotations.image_ids, _column(results, "image_id"), sorter=order)]
    sizes = np.array([mask.size for mask in masks])
    try:
        lengths, offsets = unpack_all([mask.counts.encode() for mask in masks])
    except ValueError as error:
        raise DataError(f"{path}: a segmentation is not packed as COCO packs run lengths") from error
    num_pixels = np.diff(np.concatenate([[0], np.cumsum(lengths)])[offsets])
    is_whole = (sizes == annotations.sizes[places]).all(axis=1) & (num_pixels == sizes.prod(axis=1))
    if not is_whole.all() or (lengths < 0).any():
        raise DataError(
            f"{path}: a segmentation is not of its picture's size, as that with image_id "
            f"{results[int(is_whole.argmin())].image_id}; make the file again"
        )
    return [{"size": list(mask.size), "counts": mask.counts} for mask in masks]
