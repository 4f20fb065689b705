"""Finds what is wrong with the annotations of a file whose pictures and categories were looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_file import AREA, BOX, FLAG
from hrdet_cli.engine.data.checking.entries import Entries
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_AREA,
    BROKEN_ID,
    IMPOSSIBLE_AREA,
    OUTSIDE_BOX,
    OVERHANGING_BOX,
    REPEATED_BOX,
    THIN_BOX,
    UNKNOWN_CATEGORY,
    UNKNOWN_PICTURE,
)
from hrdet_cli.engine.data.coco import INSIDE_TOLERANCE

_OVERHANG_TOLERANCE = 0.5  # pixels: files reach out a little by rounding


@dataclass(frozen=True, slots=True, eq=False)
class CheckedAnnotations:
    """B annotations.

    Attributes:
        ids: ``(B,)`` int64; 0 where there is none.
        has_id: ``(B,)`` which have one, though another may have the same.
        picture_rows: ``(B,)`` the first picture entry with the id referred to; -1 where there is none.
        labels: ``(B,)`` the first category entry with the id referred to; -1 where there is none.
        boxes: ``(B, 4)`` float64 ``[x, y, width, height]``; 0 where there is none.
        is_crowd: ``(B,)`` bool.
        is_sound: ``(B,)`` which have a box that training would use, in a known picture, of a known category.
        reaches_out: ``(B,)`` which of those have to be clipped.
        has_wrong_area: ``(B,)`` which say an area that cannot be.
    """

    entries: Entries
    ids: NDArray[np.int64]
    has_id: NDArray[np.bool_]
    picture_rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    is_sound: NDArray[np.bool_]
    reaches_out: NDArray[np.bool_]
    has_wrong_area: NDArray[np.bool_]


def check_boxes(
    entries: Entries,
    *,
    picture_row_by_id: Mapping[int, int],
    picture_names: Sequence[str | None],
    picture_sizes: NDArray[np.int64],
    label_by_category_id: Mapping[int, int],
) -> CheckedAnnotations:
    """Look at everything in the annotations that training or evaluation uses.

    Args:
        entries: The annotations; they learn the names of their pictures.
        picture_row_by_id: Row of each picture that can be referred to.
        picture_names: Names by row; None where a picture has none.
        picture_sizes: ``(M, 2)`` height and width by row; 0 where a picture has none.
        label_by_category_id: Row of each category that can be referred to.
    """
    owners, has_owner = entries.ids("image_id")
    picture_rows = _look_up(owners, has_owner, picture_row_by_id)
    in_file = entries.file_of
    entries.file_of = lambda row: (
        (picture_rows[row] >= 0 and picture_names[picture_rows[row]]) or in_file(row)
    )
    entries.report(
        UNKNOWN_PICTURE, has_owner & (picture_rows < 0), lambda row: f"there is no image_id {owners[row]}"
    )
    kinds, has_kind = entries.ids("category_id")
    labels = _look_up(kinds, has_kind, label_by_category_id)
    entries.report(
        UNKNOWN_CATEGORY, has_kind & (labels < 0), lambda row: f"there is no category_id {kinds[row]}"
    )
    flags, has_flag = entries.column("iscrowd", FLAG, default=0)
    is_crowd = has_flag & np.fromiter((flag == 1 for flag in flags), dtype=np.bool_, count=len(flags))
    ids, has_id = entries.ids("id", broken=BROKEN_ID)
    entries.report_repeated(BROKEN_ID, "id", ids.tolist(), has_id)

    boxes, has_box = _boxes_of(entries)
    is_sound = entries.is_object & has_flag & has_box & (picture_rows >= 0) & (labels >= 0)
    sizes = picture_sizes[picture_rows] if len(picture_sizes) else np.zeros((len(entries), 2), dtype=np.int64)
    is_comparable = has_box & (picture_rows >= 0) & sizes.all(axis=1)
    is_useless, reaches_out = _check_places(entries, boxes, sizes, is_comparable)
    is_sound &= ~is_useless
    _check_repeated(entries, picture_rows, labels, boxes, is_sound)
    return CheckedAnnotations(
        entries=entries,
        ids=ids,
        has_id=has_id,
        picture_rows=picture_rows,
        labels=labels,
        boxes=boxes,
        is_crowd=is_crowd,
        is_sound=is_sound,
        reaches_out=reaches_out & is_sound,
        has_wrong_area=_check_areas(entries, boxes, is_sound),
    )


def _look_up(
    ids: NDArray[np.int64], has_id: NDArray[np.bool_], row_by_id: Mapping[int, int]
) -> NDArray[np.int64]:
    rows = np.fromiter((row_by_id.get(value, -1) for value in ids.tolist()), dtype=np.int64, count=len(ids))
    return np.where(has_id, rows, -1)


def _boxes_of(entries: Entries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values, has_box = entries.column("bbox", BOX)
    if not has_box.all():
        values = [
            value if valid else (0, 0, 0, 0) for value, valid in zip(values, has_box.tolist(), strict=True)
        ]
    return np.array(values, dtype=np.float64).reshape(-1, 4), has_box


def _check_places(
    entries: Entries, boxes: NDArray[np.float64], sizes: NDArray[np.int64], is_comparable: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Boxes against their pictures; which training drops, and which it clips."""
    edges = sizes[:, ::-1].astype(np.float64)
    far = boxes[:, :2] + boxes[:, 2:]
    inside = np.clip(far, 0, edges) - np.clip(boxes[:, :2], 0, edges)
    overhang = np.maximum(-boxes[:, :2], far - edges).max(axis=1)
    is_thin = is_comparable & (boxes[:, 2:].min(axis=1) < 1)
    is_outside = is_comparable & ~is_thin & (inside.min(axis=1) < 1 - INSIDE_TOLERANCE)
    reaches_out = is_comparable & ~is_thin & ~is_outside & (overhang > _OVERHANG_TOLERANCE)

    def place(row: int) -> str:
        height, width = sizes[row].tolist()
        return f"bbox is {entries.items[row]['bbox']!r:.60} in a picture of {width}x{height}"

    entries.report(
        THIN_BOX,
        is_thin,
        lambda row: f"bbox is {entries.items[row]['bbox']!r:.60}; width and height must be at least 1",
    )
    entries.report(OUTSIDE_BOX, is_outside, lambda row: f"{place(row)}: less than a pixel of it is inside")
    entries.report(
        OVERHANGING_BOX, reaches_out, lambda row: f"{place(row)}: reaches out by {overhang[row]:.4g} pixels"
    )
    return is_thin | is_outside, reaches_out


def _check_areas(
    entries: Entries, boxes: NDArray[np.float64], is_sound: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Areas, which evaluation sorts objects by; which are none or impossible.

    An area is that of the object's mask: less than its box's, but not nothing, and never more than the pixels
    that the box touches.
    """
    values, is_valid = entries.column("area", AREA, default=None, broken=BROKEN_AREA)
    areas = np.array(
        [
            np.nan if value is None or not valid else value
            for value, valid in zip(values, is_valid.tolist(), strict=True)
        ],
        dtype=np.float64,
    )
    most = np.prod(np.ceil(boxes[:, 2:]) + 1, axis=1)
    is_impossible: NDArray[np.bool_] = is_sound & ((areas == 0) | (areas > most))
    entries.report(
        IMPOSSIBLE_AREA,
        is_impossible,
        lambda row: f"area is {values[row]!r:.40} in a box of {boxes[row, 2]:g}x{boxes[row, 3]:g}",
    )
    return np.logical_or(is_impossible, ~is_valid)


def _check_repeated(
    entries: Entries,
    picture_rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    boxes: NDArray[np.float64],
    is_sound: NDArray[np.bool_],
) -> None:
    """Boxes that an earlier annotation of the same category has in the same picture."""
    rows = np.flatnonzero(is_sound)
    columns = [*boxes[rows].T, labels[rows], picture_rows[rows]]
    order = np.lexsort(columns)  # stable: the first of equal rows comes first
    equals_previous = np.ones(len(rows), dtype=np.bool_)
    equals_previous[:1] = False
    for column in columns:
        ordered = column[order]
        equals_previous[1:] &= ordered[1:] == ordered[:-1]
    is_repeated = np.zeros(len(entries), dtype=np.bool_)
    is_repeated[rows[order[equals_previous]]] = True
    entries.report(
        REPEATED_BOX,
        is_repeated,
        lambda row: (
            f"bbox {entries.items[row]['bbox']!r:.60}: an earlier annotation has the same box and category"
        ),
    )
