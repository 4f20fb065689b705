"""Finds what is wrong with the annotations of a file whose pictures and categories were looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.annotation_values import AREA, BOX, FLAG, INSIDE_TOLERANCE
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
        areas: ``(B,)`` float64; NaN where there is none.
        is_crowd: ``(B,)`` bool.
        has_box: ``(B,)`` which have four numbers.
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
    areas: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]
    has_box: NDArray[np.bool_]
    is_sound: NDArray[np.bool_]
    reaches_out: NDArray[np.bool_]
    has_wrong_area: NDArray[np.bool_]

    def sizes_in(self, picture_sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """``(B, 2)`` sizes of the annotations' pictures, of the ``(M, 2)`` of all; 0 where unknown."""
        sizes = np.concatenate([picture_sizes, np.zeros((1, 2), dtype=np.int64)])  # row -1 is of none
        return sizes[self.picture_rows]


def check_entries(
    entries: Entries,
    *,
    picture_row_by_id: Mapping[int, int],
    picture_names: Sequence[str | None],
    picture_numbers: Mapping[str, int],
    category_numbers: Mapping[str, int],
    label_by_category_id: Mapping[int, int],
) -> CheckedAnnotations:
    """Look at everything in the annotations that training or evaluation uses, but for where boxes lie.

    Args:
        entries: The annotations; they learn the names of their pictures.
        picture_row_by_id: Row of each picture that can be referred to.
        picture_names: Names by row; None where a picture has none.
        picture_numbers: What stands for ids of pictures that are texts.
        category_numbers: Likewise of categories.
        label_by_category_id: Row of each category that can be referred to.
    """
    owners, has_owner = entries.ids("image_id", numbers=picture_numbers)
    picture_rows = _look_up(owners, has_owner, picture_row_by_id)
    entries.call_by_pictures(lambda row: picture_names[picture_rows[row]] if picture_rows[row] >= 0 else None)
    entries.report(
        UNKNOWN_PICTURE, has_owner & (picture_rows < 0), lambda row: f"there is no image_id {owners[row]}"
    )
    kinds, has_kind = entries.ids("category_id", numbers=category_numbers)
    labels = _look_up(kinds, has_kind, label_by_category_id)
    entries.report(
        UNKNOWN_CATEGORY, has_kind & (labels < 0), lambda row: f"there is no category_id {kinds[row]}"
    )
    flags, has_flag = entries.column("iscrowd", FLAG)
    ids, has_id = entries.ids("id", broken=BROKEN_ID)
    entries.report_repeated(BROKEN_ID, "id", ids.tolist(), has_id)
    areas, has_area = entries.column("area", AREA, broken=BROKEN_AREA)
    boxes, has_box = _boxes_of(entries)
    is_whole = has_flag & has_box & (picture_rows >= 0) & (labels >= 0) & ~entries.is_contradictory
    return CheckedAnnotations(
        entries=entries,
        ids=ids,
        has_id=has_id,
        picture_rows=picture_rows,
        labels=labels,
        boxes=boxes,
        areas=np.array(
            [value if valid else np.nan for value, valid in zip(areas, has_area.tolist(), strict=True)],
            dtype=np.float64,
        ),
        is_crowd=has_flag & np.fromiter((flag == 1 for flag in flags), dtype=np.bool_, count=len(flags)),
        has_box=has_box,
        is_sound=is_whole,
        reaches_out=np.zeros(len(entries), dtype=np.bool_),
        has_wrong_area=~has_area & entries.is_object,
    )


def check_places(annotations: CheckedAnnotations, picture_sizes: NDArray[np.int64]) -> CheckedAnnotations:
    """Compare the boxes with their pictures, with each other and with their areas.

    Args:
        annotations: As `check_entries` found them.
        picture_sizes: ``(M, 2)`` height and width by row; 0 where a picture has none.

    Returns:
        The same without what training leaves out.
    """
    entries, boxes, is_sound = annotations.entries, annotations.boxes, annotations.is_sound
    sizes = annotations.sizes_in(picture_sizes)
    is_useless, reaches_out = _check_places(entries, boxes, sizes, annotations.has_box & sizes.all(axis=1))
    is_sound = is_sound & ~is_useless
    _check_repeated(entries, annotations.picture_rows, annotations.labels, boxes, is_sound)
    is_impossible = _find_impossible_areas(annotations, is_sound)
    return replace(
        annotations,
        is_sound=is_sound,
        reaches_out=reaches_out & is_sound,
        has_wrong_area=annotations.has_wrong_area | is_impossible,
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
        return f"bbox is {entries.value(row, 'bbox')!r:.60} in a picture of {width}x{height}"

    entries.report(
        THIN_BOX,
        is_thin,
        lambda row: f"bbox is {entries.value(row, 'bbox')!r:.60}; width and height must be at least 1",
    )
    entries.report(OUTSIDE_BOX, is_outside, lambda row: f"{place(row)}: less than a pixel of it is inside")
    entries.report(
        OVERHANGING_BOX, reaches_out, lambda row: f"{place(row)}: reaches out by {overhang[row]:.4g} pixels"
    )
    return is_thin | is_outside, reaches_out


def _find_impossible_areas(annotations: CheckedAnnotations, is_sound: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which areas, by which evaluation sorts objects, cannot be.

    An area is that of the object's mask: less than its box's, but not nothing, and never more than the pixels
    that the box touches.
    """
    areas, boxes = annotations.areas, annotations.boxes
    most = np.prod(np.ceil(boxes[:, 2:]) + 1, axis=1)
    is_impossible: NDArray[np.bool_] = is_sound & ((areas == 0) | (areas > most))
    annotations.entries.report(
        IMPOSSIBLE_AREA,
        is_impossible,
        lambda row: (
            f"area is {annotations.entries.value(row, 'area')!r:.40} in a box of "
            f"{boxes[row, 2]:g}x{boxes[row, 3]:g}"
        ),
    )
    return is_impossible


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
            f"bbox {entries.value(row, 'bbox')!r:.60}: an earlier annotation has the same box and category"
        ),
    )
