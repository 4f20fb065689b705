"""A copy of an annotation file without what is wrong with it.

Nothing is guessed: what cannot be used is left out, what has one possible reading is put right, and all else
is kept as it is, with the keys that nobody here looks at.
"""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hrdet_cli.engine.data.box_forms import FORM_KEY, XYWH
from hrdet_cli.engine.data.checking.annotations import CheckedFile, CheckedPictures
from hrdet_cli.engine.data.checking.boxes import CheckedAnnotations
from hrdet_cli.engine.data.checking.problems import BY_FORM, BY_HAND, ProblemKind
from hrdet_cli.errors import DataError
from hrdet_cli.wording import counted, first_few

_DECIMALS = 3  # of a clipped coordinate, in pixels; the official files have two
_EQUAL_AREAS = 1e-3  # relative


@dataclass(frozen=True, slots=True, eq=False)
class CleanedFile:
    """What a cleaned file holds.

    Attributes:
        content: The JSON object; shares what did not change with the file it was made from.
        num_pictures_left_out: Entries of the file that are not in it.
        num_pictures_changed: Entries with another id, width or height.
        num_annotations_left_out: Annotations of the file that are not in it.
        num_annotations_changed: Annotations with another id, picture id, box or area.
    """

    content: dict[str, Any]
    num_pictures_left_out: int
    num_pictures_changed: int
    num_annotations_left_out: int
    num_annotations_changed: int


def clean(
    file: CheckedFile,
    kinds: Mapping[ProblemKind, int],
    *,
    unusable_pictures: Collection[int],
    declares_form: bool = False,
) -> CleanedFile:
    """Make a copy that ``load_coco`` takes, and of which it drops no box.

    Args:
        file: The file, checked.
        kinds: How many problems of each kind it has.
        unusable_pictures: Rows of entries whose pictures are missing, damaged or of another size.
        declares_form: Whether the copy says that its boxes are COCO's, whatever they look like.

    Raises:
        DataError: Something has to be mended by hand first, or no picture or no annotation would be left.
    """
    entry_by_row, sound_rows = _what_is_left(file, kinds, unusable_pictures)
    pictures, annotations = file.pictures, file.annotations
    kept_pictures = sorted(set(entry_by_row.values()))
    rows, new_ids = _distinct(annotations, sound_rows)
    new_values = {row: {"id": number} for row, number in new_ids.items()}
    entries, cleaned = annotations.entries, []
    for row in rows:
        changes = new_values.get(row, {}) | _changes(row, pictures, annotations, entry_by_row)
        cleaned.append(entries.cleaned(row, changes))
    return CleanedFile(
        content={
            **file.content,
            **({"info": _declaration(file.content.get("info"))} if declares_form else {}),
            "images": [pictures.entries.cleaned(row, {}) for row in kept_pictures],
            "annotations": cleaned,
            "categories": [file.kinds.cleaned(row, {}) for row in range(len(file.kinds))],
        },
        num_pictures_left_out=len(pictures.entries) - len(kept_pictures),
        num_pictures_changed=sum(row in pictures.entries.new_values for row in kept_pictures),
        num_annotations_left_out=len(annotations.entries) - len(cleaned),
        num_annotations_changed=sum(
            item is not entries.items[row] for row, item in zip(rows, cleaned, strict=True)
        ),
    )


def can_be_cleaned(
    file: CheckedFile, kinds: Mapping[ProblemKind, int], *, unusable_pictures: Collection[int]
) -> bool:
    """Whether `clean` would make a copy."""
    try:
        _what_is_left(file, kinds, unusable_pictures)
    except DataError:
        return False
    return True


def _what_is_left(
    file: CheckedFile, kinds: Mapping[ProblemKind, int], unusable_pictures: Collection[int]
) -> tuple[dict[int, int], list[int]]:
    """The pictures of a copy, as `_entries_to_keep` gives them, and the rows of its annotations.

    Raises:
        DataError: No copy can be made.
    """
    _refuse_what_is_not_known(file, kinds, unusable_pictures)
    by_hand = [kind.name for kind in kinds if kind.fix == BY_HAND]
    if by_hand:
        raise DataError(
            f"{file.path}: no cleaned file can be made before its {' and '.join(by_hand)} "
            "is mended by hand: guessing there could change what every box means"
        )
    entry_by_row = _entries_to_keep(file.pictures, unusable_pictures)
    if not entry_by_row:
        raise DataError(_nothing_left(file, kinds, "picture"))
    has_picture = np.isin(file.annotations.picture_rows, list(entry_by_row))
    rows: list[int] = np.flatnonzero(file.annotations.is_sound & has_picture).tolist()
    if len(file.annotations.entries) and not rows:
        raise DataError(_nothing_left(file, kinds, "annotation"))
    return entry_by_row, rows


def _refuse_what_is_not_known(
    file: CheckedFile, kinds: Collection[ProblemKind], unusable_pictures: Collection[int]
) -> None:
    """What only the user, or the pictures, can tell."""
    if any(kind.fix == BY_FORM for kind in kinds):
        raise DataError(f"{file.path}: nothing was written. Say with --boxes in which form its boxes are")
    has_no_size = file.pictures.is_named & ~file.pictures.is_sound
    rows = [row for row in np.flatnonzero(has_no_size).tolist() if row not in unusable_pictures]
    if rows:
        raise DataError(
            f"{file.path}: nothing was written: {counted(len(rows), 'picture')} without width or height. "
            "Give the pictures too, as JSON IMAGES and without --no-open, to have them filled in"
        )


def _declaration(info: Any) -> dict[str, Any]:
    about = info if isinstance(info, dict) else {} if info is None else {"description": info}
    return {**about, FORM_KEY: XYWH.name}


def _nothing_left(file: CheckedFile, kinds: Mapping[ProblemKind, int], noun: str) -> str:
    faults = first_few([f"{kind.name} ({count:,})" for kind, count in kinds.items()])
    return (
        f"{file.path}: nothing was written, for no {noun} would be left. What is wrong: {faults}. "
        "Mend the file at its source."
    )


def json_lines(content: Mapping[str, Any]) -> Iterator[str]:
    """A JSON object as text, the entries of its lists a line each; NaN and Infinity become null."""
    encode = json.JSONEncoder(allow_nan=False).encode

    def text_of(value: Any) -> str:
        try:
            return encode(value)
        except ValueError:
            return encode(_without_non_finite(value))

    for position, (key, value) in enumerate(content.items()):
        yield ("{" if position == 0 else ",\n") + encode(key) + ": "
        if isinstance(value, list) and value:
            yield "[\n"
            yield text_of(value[0])
            for item in itertools.islice(value, 1, None):
                yield ",\n" + text_of(item)
            yield "\n]"
        else:
            yield text_of(value)
    yield "}\n"


def _entries_to_keep(pictures: CheckedPictures, unusable: Collection[int]) -> dict[int, int]:
    """Which entry each usable entry of a picture becomes: itself, or the first of its file.

    An id that different entries have does not say whose a box is: all of them go. Entries of one file that
    say different sizes contradict each other: all of them go too.
    """
    seen_by_id: defaultdict[int, set[tuple[Any, ...]]] = defaultdict(set)
    seen = list(zip(pictures.names, *pictures.sizes.T.tolist(), strict=True))
    for row in np.flatnonzero(pictures.has_id).tolist():
        seen_by_id[int(pictures.ids[row])].add(seen[row])
    rows_by_name: defaultdict[str | None, list[int]] = defaultdict(list)
    for row in np.flatnonzero(pictures.is_sound).tolist():
        if row not in unusable and len(seen_by_id[int(pictures.ids[row])]) == 1:
            rows_by_name[pictures.names[row]].append(row)
    return {
        row: rows[0]
        for rows in rows_by_name.values()
        if len({seen[row] for row in rows}) == 1
        for row in rows
    }


def _distinct(annotations: CheckedAnnotations, rows: Sequence[int]) -> tuple[list[int], dict[int, int]]:
    """The rows without those that only repeat an earlier annotation, and new ids for those that need one."""
    items, ids, has_id = annotations.entries.items, annotations.ids.tolist(), annotations.has_id.tolist()
    holder_by_id: dict[int, int] = {}
    distinct, without_id = [], []
    for row in rows:
        holder = holder_by_id.setdefault(ids[row], row) if has_id[row] else None
        if holder is not None and holder != row and items[row] == items[holder]:
            continue
        distinct.append(row)
        if holder != row:
            without_id.append(row)
    free_ids = (number for number in itertools.count(1) if number not in holder_by_id)
    return distinct, dict(zip(without_id, free_ids, strict=False))


def _changes(
    row: int, pictures: CheckedPictures, annotations: CheckedAnnotations, entry_by_row: Mapping[int, int]
) -> dict[str, Any]:
    """New values of the keys of one annotation, its id apart."""
    changes: dict[str, Any] = {}
    entries, picture = annotations.entries, int(annotations.picture_rows[row])
    given_box, given_area = entries.value(row, "bbox"), entries.value(row, "area")
    entry = entry_by_row[picture]
    if pictures.ids[entry] != pictures.ids[picture]:
        changes["image_id"] = int(pictures.ids[entry])
    if annotations.reaches_out[row]:
        height, width = pictures.sizes[picture].tolist()
        changes["bbox"] = _clip(given_box, width=width, height=height)
    box = changes.get("bbox", given_box)
    if annotations.has_wrong_area[row] or (
        "bbox" in changes and _follows_box(given_area, box=given_box, new_box=box)
    ):
        changes["area"] = _area_of(box)
    return changes


def _clip(box: Sequence[float], *, width: int, height: int) -> list[float]:
    """``[x, y, width, height]`` inside a picture; integers stay integers, and no side gets under a pixel."""
    left, top, box_width, box_height = box
    left, box_width = _clip_side(left, left + box_width, width)
    top, box_height = _clip_side(top, top + box_height, height)
    return [left, top, box_width, box_height]


def _clip_side(start: float, end: float, edge: int) -> tuple[float, float]:
    start, end = round(max(start, 0), _DECIMALS), round(min(end, edge), _DECIMALS)
    if end - start < 1:
        start = min(start, edge - 1)
        return start, 1
    return start, round(end - start, _DECIMALS)


def _follows_box(area: float | None, *, box: Sequence[float], new_box: Sequence[float]) -> bool:
    """Whether the area of an annotation has to change with its box: it is the box's, or too large now."""
    if area is None:
        return False
    return math.isclose(area, _area_of(box), rel_tol=_EQUAL_AREAS) or area > _area_of(new_box)


def _area_of(box: Sequence[float]) -> float:
    return round(box[2] * box[3], _DECIMALS)


def _without_non_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_non_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
