"""Finds what is wrong with the masks of objects, which matter to heads with masks alone.

Such a head refuses a file in which a segmentation is broken. All else it lives with, as it does with boxes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.checking.boxes import CheckedAnnotations
from hrdet_cli.engine.data.checking.problems import (
    BROKEN_MASK,
    EMPTY_MASK,
    FEW_CORNERS,
    FOREIGN_MASK,
    MASK_FORM,
    NO_MASKS,
    OVERHANGING_MASK,
    SOME_MASKS,
    Problem,
    ProblemLog,
    where_masks_matter,
)
from hrdet_cli.engine.data.repeated_keys import contradictions, repetition
from hrdet_cli.engine.data.segmentation_reading import read_segmentations
from hrdet_cli.engine.data.segmentation_values import FEWEST_NUMBERS, mended_polygons
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.wording import counted

_KEY = "segmentation"
_OVERHANG_TOLERANCE = 1.0  # pixels: outlines are drawn along the border by hand
_MISFIT_PIXELS, _MISFIT_SHARE = 2.0, 0.1  # boxes are rounded, and some say less than they hold


def check_masks(
    annotations: CheckedAnnotations,
    picture_sizes: NDArray[np.int64],
    log: ProblemLog,
    *,
    file: str,
    matter: bool,
) -> None:
    """Look at the segmentations of annotations whose pictures' sizes are known.

    Args:
        annotations: As `check_places` left them; a cleaned file has what is right of their segmentations.
        picture_sizes: ``(M, 2)`` height and width by row; 0 where a picture has none.
        log: Collects the problems of the file as a whole.
        file: What they call it.
        matter: Whether the head of the experiment has masks, so that what is broken is an error.
    """
    entries = annotations.entries
    sizes = annotations.sizes_in(picture_sizes)
    rows = np.flatnonzero(entries.is_object & sizes.all(axis=1))
    _mend_polygons(annotations, rows, matter=matter)
    given = [entries.value(row, _KEY) for row in rows.tolist()]
    faults = _contradictions(annotations, rows) if matter else {}

    def note(position: int, what: str) -> None:
        faults[int(rows[position])] = f"{_KEY} {what}"

    masks = read_segmentations(given, sizes[rows], note)
    is_broken = np.zeros(len(entries), dtype=np.bool_)
    is_broken[list(faults)] = True
    broken = where_masks_matter(BROKEN_MASK) if matter else BROKEN_MASK
    entries.report(broken, is_broken, lambda row: faults[row])
    for row in faults:
        entries.change(row, _KEY, [])
    has_one = np.zeros(len(entries), dtype=np.bool_)
    has_one[rows] = [bool(value) for value in given]
    _leave_out_short_polygons(annotations, has_one & ~is_broken)
    is_empty = np.zeros(len(entries), dtype=np.bool_)
    is_empty[rows] = ~masks.covers_something
    is_empty &= has_one & ~is_broken
    entries.report(EMPTY_MASK, is_empty, lambda _: f"{_KEY} covers no pixel")
    _check_extents(annotations, masks, rows, sizes)
    is_object = annotations.is_sound & ~annotations.is_crowd
    _count_masks(is_object, has_one & ~is_broken & ~is_empty, log, file=file, matter=matter)


def _contradictions(annotations: CheckedAnnotations, rows: NDArray[np.int64]) -> dict[int, str]:
    """Rows that give different segmentations, of which nobody knows which is meant."""
    items = annotations.entries.items
    return {
        row: repetition(_KEY, found[_KEY])
        for row in rows.tolist()
        if (found := contradictions(items[row], (_KEY,)))
    }


def _mend_polygons(annotations: CheckedAnnotations, rows: NDArray[np.int64], *, matter: bool) -> None:
    """Polygons that are only written in another way are taken for what they are."""
    entries = annotations.entries
    is_mended = np.zeros(len(entries), dtype=np.bool_)
    for row in rows.tolist():
        value = entries.value(row, _KEY)
        mended = mended_polygons(value)
        if mended is not value:
            is_mended[row] = True
            entries.change(row, _KEY, mended)
    kind = where_masks_matter(MASK_FORM) if matter else MASK_FORM
    entries.report(
        kind,
        is_mended,
        lambda row: f"{_KEY} is {entries.items[row].get(_KEY)!r:.60}; expected lists of numbers",
    )


def _leave_out_short_polygons(annotations: CheckedAnnotations, is_whole: NDArray[np.bool_]) -> None:
    entries = annotations.entries
    kept_by_row: dict[int, list[Any]] = {}
    for row in np.flatnonzero(is_whole).tolist():
        value = entries.value(row, _KEY)
        if isinstance(value, list) and any(len(polygon) < FEWEST_NUMBERS for polygon in value):
            kept_by_row[row] = [polygon for polygon in value if len(polygon) >= FEWEST_NUMBERS]
    is_short = np.zeros(len(entries), dtype=np.bool_)
    is_short[list(kept_by_row)] = True

    def what(row: int) -> str:
        polygons = entries.items[row][_KEY]
        number = len(polygons) - len(kept_by_row[row])
        return f"{_KEY} has {counted(number, 'polygon')} of fewer than three corners"

    entries.report(FEW_CORNERS, is_short, what)
    for row, kept in kept_by_row.items():
        entries.change(row, _KEY, kept)


def _check_extents(
    annotations: CheckedAnnotations, masks: Segmentations, rows: NDArray[np.int64], sizes: NDArray[np.int64]
) -> None:
    """Masks against their pictures and their boxes."""
    entries = annotations.entries
    edges = sizes[:, ::-1].astype(np.float64)
    extents = np.full((len(entries), 4), np.nan)
    extents[rows] = masks.extents(sizes[rows, 0])
    overhang = np.maximum(-extents[:, :2], extents[:, 2:] - edges).max(axis=1)
    entries.report(
        OVERHANGING_MASK,
        overhang > _OVERHANG_TOLERANCE,  # False where there is no mask
        lambda row: f"{_KEY} reaches out by {overhang[row]:.4g} pixels of {sizes[row, 1]}x{sizes[row, 0]}",
    )
    boxes = np.concatenate(
        [annotations.boxes[:, :2], annotations.boxes[:, :2] + annotations.boxes[:, 2:]], axis=1
    )
    limits = np.concatenate([edges, edges], axis=1)
    inside, boxes = np.clip(extents, 0, limits), np.clip(boxes, 0, limits)
    allowed = np.maximum(_MISFIT_PIXELS, _MISFIT_SHARE * np.tile(boxes[:, 2:] - boxes[:, :2], 2))
    is_foreign = annotations.is_sound & (np.abs(inside - boxes) > allowed).any(axis=1)

    def what(row: int) -> str:
        x1, y1, x2, y2 = extents[row].tolist()
        box = f"[{x1:.6g}, {y1:.6g}, {x2 - x1:.6g}, {y2 - y1:.6g}]"
        return f"{_KEY} lies in {box}, and bbox is {entries.value(row, 'bbox')!r:.60}"

    entries.report(FOREIGN_MASK, is_foreign, what)


def _count_masks(
    is_object: NDArray[np.bool_], has_mask: NDArray[np.bool_], log: ProblemLog, *, file: str, matter: bool
) -> None:
    """Objects without a mask: where others have one, or where masks matter."""
    num_objects, num_without = int(is_object.sum()), int((is_object & ~has_mask).sum())
    if num_objects and num_without == num_objects and matter:
        log.add_one(Problem(NO_MASKS, file, None, f"none of its {counted(num_objects, 'object')} has a mask"))
    elif 0 < num_without < num_objects:
        what = (
            f"{num_without:,} of its {num_objects:,} objects have no mask: training leaves them out where "
            "the head has masks"
        )
        log.add_one(Problem(SOME_MASKS, file, None, what))
