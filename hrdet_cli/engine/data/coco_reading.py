"""Read annotations strictly, COCO's or those of another format.

A file that is structurally wrong is refused with all its problems at once.  Boxes that are merely useless
(thinner than a pixel, or outside their picture; the official files hold some) are dropped and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.annotation_file import AnnotationFile, without_cycle_search
from hrdet_cli.engine.data.annotation_values import (
    ANYTHING,
    AREA,
    BOX,
    EDGE,
    FILE_NAME,
    FLAG,
    ID,
    INSIDE_TOLERANCE,
    NAME,
)
from hrdet_cli.engine.data.box_forms import declares_coco_form
from hrdet_cli.engine.data.box_judgement import refuse_foreign_boxes
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.federated import Federated
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.ground_truth import GroundTruth
from hrdet_cli.engine.data.lvis import NOTE as LVIS_NOTE
from hrdet_cli.engine.data.lvis import is_lvis, read_federated
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.spare_categories import spare_categories

TOO_SMALL = "narrower or lower than one pixel"
OUTSIDE = "less than one pixel of it inside the picture"
NO_MASK = "without a mask"
_LARGE_BYTES = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """What a file says: M pictures, A annotations and K categories, in its order.

    Attributes:
        image_ids: M ids.
        file_names: M names.
        sizes: ``(M, 2)`` int32, height and width.
        category_ids: K ids.
        class_names: K names.
        supercategories: K values, whatever they are.
        ids: A ids of annotations.
        picture_indices: ``(A,)`` int64, rows of the pictures.
        labels: ``(A,)`` int64, rows of the categories.
        boxes: ``(A, 4)`` float64, x, y, width, height.
        areas: A areas; None where an annotation has none.
        is_crowd: ``(A,)`` bool.
        federated: What is known of each picture; None of a file that is not LVIS's.
    """

    image_ids: Sequence[int]
    file_names: Sequence[str]
    sizes: NDArray[np.int32]
    category_ids: Sequence[int]
    class_names: Sequence[str]
    supercategories: Sequence[Any]
    ids: Sequence[int]
    picture_indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: Sequence[float | None]
    is_crowd: NDArray[np.bool_]
    federated: Federated | None


def load_coco(
    path: Path, images: Path | None = None, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read a COCO annotation file, as `load_annotations` does.

    Args:
        path: The file.
        images: Its pictures, for the command that errors advise; they are not looked at.
        with_masks: Likewise.
        with_truth: Likewise.
    """
    return load_annotations(CocoFile(path, images), with_masks=with_masks, with_truth=with_truth)


def load_annotations(
    source: AnnotationSource, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read annotations, whatever their format.

    Annotations without ``iscrowd`` count as single objects.  A box is dropped when the file gives it a side
    under one pixel or when less than a pixel of it lies inside the picture; with masks also when no
    segmentation says which pixels are the object's.

    Args:
        source: Where they are.
        with_masks: Whether segmentations are read too.
        with_truth: Whether detections are to be scored with the annotations: keeps what is dropped, too.

    Raises:
        DataError: They cannot be read or break their format's structure; the message lists the problems. Or
            boxes are surely written in another form than COCO's.
    """
    with without_cycle_search(), doing(f"reading {source.path.name}", at_once=_is_large(source.path)):
        file = source.read(with_segmentations=with_masks)
        return _annotations_of(source, file, with_masks=with_masks, with_truth=with_truth)


def _is_large(path: Path) -> bool:
    """Whether a file takes the JSON reader seconds, in which no other thread runs."""
    return path.is_file() and path.stat().st_size > _LARGE_BYTES


def _annotations_of(
    source: AnnotationSource, file: AnnotationFile, *, with_masks: bool, with_truth: bool
) -> CocoAnnotations:
    entries = _read_entries(file)
    picture_indices, labels = entries.picture_indices, entries.labels
    sizes = entries.sizes[picture_indices]
    suspicion = None
    if not declares_coco_form(file.info):
        suspicion = refuse_foreign_boxes(source.path, entries.boxes, sizes)
    clipped, is_kept, dropped = _clip_boxes(entries.boxes, sizes)
    rows = np.flatnonzero(is_kept)[np.argsort(picture_indices[is_kept], kind="stable")]
    segmentations = None
    if with_masks:
        num_boxes = len(rows)
        rows, segmentations = _with_masks_alone(file, entries, rows)
        if len(rows) < num_boxes:
            dropped[NO_MASK] = num_boxes - len(rows)
    counts = np.bincount(picture_indices[rows], minlength=len(entries.file_names))
    num_classes = len(entries.class_names)
    return CocoAnnotations(
        path=source.path,
        split=source.split,
        fingerprint=file.fingerprint,
        image_ids=np.array(entries.image_ids, dtype=np.int64),
        file_names=np.array(entries.file_names, dtype=np.str_),
        sizes=entries.sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=clipped[rows],
        labels=labels[rows],
        is_crowd=entries.is_crowd[rows],
        class_names=tuple(entries.class_names),
        category_ids=tuple(entries.category_ids),
        dropped_boxes=dropped,
        box_suspicion=suspicion,
        spare_categories=spare_categories(
            entries.class_names, entries.supercategories, np.isin(np.arange(num_classes), labels).tolist()
        ),
        segmentations=segmentations,
        truth=_ground_truth(file, entries, with_masks=with_masks) if with_truth else None,
        notes=(*file.notes, *([] if entries.federated is None else [LVIS_NOTE])),
    )


def _read_entries(file: AnnotationFile) -> _Entries:
    """Check and read what every use of a file needs.

    Raises:
        DataError: With all that is wrong.
    """
    images, annotations, categories = file.images, file.annotations, file.categories
    image_ids, names = images.column("id", ID), images.column("file_name", FILE_NAME)
    heights, widths = images.column("height", EDGE), images.column("width", EDGE)
    category_ids, class_names = categories.column("id", ID), categories.column("name", NAME)
    supercategories = categories.column("supercategory", ANYTHING)
    ids, boxes = annotations.column("id", ID), annotations.column("bbox", BOX)
    areas = annotations.column("area", AREA)  # only scores need it, but a fault should show at once
    owners, kinds = annotations.column("image_id", ID), annotations.column("category_id", ID)
    crowd_flags = annotations.column("iscrowd", FLAG)
    file.problems.raise_if_any()

    image_by_id, label_by_id = images.positions("id", image_ids), categories.positions("id", category_ids)
    images.positions("file_name", names)
    categories.positions("name", class_names)
    annotations.positions("id", ids)
    picture_indices = annotations.look_up("image_id", owners, image_by_id)
    labels = annotations.look_up("category_id", kinds, label_by_id)
    federated = read_federated(images, categories, label_by_id) if is_lvis(images) else None
    file.problems.raise_if_any()
    return _Entries(
        image_ids=image_ids,
        file_names=names,
        sizes=np.array([heights, widths], dtype=np.int32).T.copy(),
        category_ids=category_ids,
        class_names=class_names,
        supercategories=supercategories,
        ids=ids,
        picture_indices=picture_indices,
        labels=labels,
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        areas=areas,
        is_crowd=np.array(crowd_flags, dtype=np.bool_),
        federated=federated,
    )


def _with_masks_alone(
    file: AnnotationFile, entries: _Entries, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Segmentations]:
    """The rows of annotations that have a mask or are crowd regions, and their segmentations.

    Raises:
        DataError: With every segmentation that is none.
    """
    is_crowd, sizes = entries.is_crowd[rows], entries.sizes[entries.picture_indices[rows]]
    segmentations = file.annotations.segmentations(rows, ~is_crowd, sizes)
    file.problems.raise_if_any()
    has_mask = segmentations.covers_something | is_crowd
    if has_mask.all():
        return rows, segmentations
    return rows[has_mask], segmentations.take(np.flatnonzero(has_mask))


def _ground_truth(file: AnnotationFile, entries: _Entries, *, with_masks: bool) -> GroundTruth:
    """All annotations, as scores need them.

    Raises:
        DataError: With every segmentation that is none.
    """
    annotations = file.annotations
    sizes = entries.sizes[entries.picture_indices]
    truth = GroundTruth(
        ids=np.array(entries.ids, dtype=np.int64),
        picture_indices=entries.picture_indices,
        labels=entries.labels,
        boxes=entries.boxes,
        areas=np.array(entries.areas, dtype=np.float64),  # None becomes NaN
        is_crowd=entries.is_crowd,
        masks=annotations.packed_masks(sizes) if with_masks else None,
        federated=entries.federated,
        places=annotations.places(),
    )
    file.problems.raise_if_any()
    return truth


def _clip_boxes(
    boxes: NDArray[np.float64], sizes: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]:
    """Turn ``[x, y, width, height]`` into clipped corners; say which rows stay, and count the others."""
    edges = sizes[:, ::-1].astype(np.float64)
    top_left = np.clip(boxes[:, :2], 0, edges)
    bottom_right = np.clip(boxes[:, :2] + boxes[:, 2:], 0, edges)
    is_small = boxes[:, 2:].min(axis=1) < 1
    is_outside = ~is_small & ((bottom_right - top_left).min(axis=1) < 1 - INSIDE_TOLERANCE)
    counts = {TOO_SMALL: int(is_small.sum()), OUTSIDE: int(is_outside.sum())}
    dropped = {reason: count for reason, count in counts.items() if count}
    return (
        np.concatenate([top_left, bottom_right], axis=1).astype(np.float32),
        ~is_small & ~is_outside,
        dropped,
    )
