"""COCO annotation files, read strictly into arrays.

A file that is structurally wrong is refused with all its problems at once.  Boxes that are merely useless
(thinner than a pixel, or outside their picture; the official files hold some) are dropped and counted.
"""

import gc
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

TOO_SMALL = "narrower or lower than one pixel"
OUTSIDE = "less than one pixel of it inside the picture"

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LISTS = ("images", "annotations", "categories")
_MAX_PROBLEMS_SHOWN = 20
_MAX_COORDINATE = 1e9
_MAX_EDGE = 1 << 20
_INSIDE_TOLERANCE = 1e-3  # keeps boxes of exactly one pixel whose edges were rounded


@dataclass(frozen=True, slots=True, eq=False)
class CocoAnnotations:
    """One COCO annotation file: M pictures with B boxes, grouped by picture.

    Arrays instead of objects: worker processes share them without copying, whatever the size of the file.

    Attributes:
        path: The file.
        fingerprint: SHA-256 of the file's bytes, in hexadecimal.
        image_ids: ``(M,)`` int64, in the order of the file.
        file_names: ``(M,)`` strings, relative to the image root.
        sizes: ``(M, 2)`` int32, height and width.
        offsets: ``(M + 1,)`` int64; picture i owns rows ``offsets[i]:offsets[i + 1]`` of the following three.
        boxes: ``(B, 4)`` float32, clipped to the picture.
        labels: ``(B,)`` int64, position of the category in the file's list.
        is_crowd: ``(B,)`` bool; a crowd region is no target.
        class_names: K names; label k is ``class_names[k]``.
        category_ids: K ids; label k is ``category_ids[k]`` in the file.
        dropped_boxes: How many boxes were left out, by reason.
    """

    path: Path
    fingerprint: str
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    dropped_boxes: Mapping[str, int]

    def __len__(self) -> int:
        """Number of pictures M."""
        return len(self.image_ids)

    @property
    def num_boxes(self) -> NDArray[np.int64]:
        """``(M,)`` number of boxes of each picture that are targets, that is without crowd regions."""
        counts = np.concatenate([[0], np.cumsum(~self.is_crowd, dtype=np.int64)])
        return np.diff(counts[self.offsets])

    def size_of(self, index: int) -> Size:
        """Size of picture ``index``, a position in ``0 .. M-1``."""
        height, width = self.sizes[index].tolist()
        return Size(height, width)

    def targets_of(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Boxes ``(G, 4)`` and labels ``(G,)`` of picture ``index``, without crowd regions."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        is_target = ~self.is_crowd[rows]
        return self.boxes[rows][is_target], self.labels[rows][is_target]

    def crowd_boxes_of(self, index: int) -> NDArray[np.float32]:
        """Crowd regions ``(I, 4)`` of picture ``index``."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return self.boxes[rows][self.is_crowd[rows]]


def load_coco(path: Path) -> CocoAnnotations:
    """Read a COCO annotation file.

    Annotations without ``iscrowd`` count as single objects; ``area`` and ``segmentation`` are not read.  A
    box is dropped when the file gives it a side under one pixel or when less than a pixel of it lies inside
    the picture.

    Raises:
        DataError: The file cannot be read or breaks COCO's structure; the message lists the problems.
    """
    with _without_cycle_search():
        return _parse(path, *_read_json(path))


def _parse(path: Path, raw: bytes, content: dict[str, Any]) -> CocoAnnotations:
    problems = _Problems(path)
    images, annotations, categories = (_Table(content, name, problems) for name in _LISTS)
    problems.raise_if_any()

    image_ids, names = images.column("id", _ID), images.column("file_name", _FILE_NAME)
    heights, widths = images.column("height", _EDGE), images.column("width", _EDGE)
    category_ids, class_names = categories.column("id", _ID), categories.column("name", _NAME)
    annotation_ids, boxes = annotations.column("id", _ID), annotations.column("bbox", _BOX)
    annotations.column("area", _AREA)  # only evaluation uses it, but a fault should show at once
    owners, kinds = annotations.column("image_id", _ID), annotations.column("category_id", _ID)
    is_crowd = annotations.column("iscrowd", _FLAG, default=0)
    problems.raise_if_any()

    image_by_id, label_by_id = images.positions("id", image_ids), categories.positions("id", category_ids)
    images.positions("file_name", names)
    categories.positions("name", class_names)
    annotations.positions("id", annotation_ids)
    image_index = annotations.look_up("image_id", owners, image_by_id)
    labels = annotations.look_up("category_id", kinds, label_by_id)
    problems.raise_if_any()

    sizes = np.array([heights, widths], dtype=np.int32).T.copy()
    clipped, is_kept, dropped = _clip_boxes(np.array(boxes, dtype=np.float64), sizes[image_index])
    order = np.flatnonzero(is_kept)[np.argsort(image_index[is_kept], kind="stable")]
    counts = np.bincount(image_index[is_kept], minlength=len(names))
    return CocoAnnotations(
        path=path,
        fingerprint=hashlib.sha256(raw).hexdigest(),
        image_ids=np.array(image_ids, dtype=np.int64),
        file_names=np.array(names, dtype=np.str_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=clipped[order],
        labels=labels[order],
        is_crowd=np.array(is_crowd, dtype=np.bool_)[order],
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
        dropped_boxes=dropped,
    )


class _Problems:
    """Problems found in one file: counts all, remembers the first few."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        self._count += 1
        if len(self._first) < _MAX_PROBLEMS_SHOWN:
            self._first.append(problem)

    def raise_if_any(self) -> None:
        if not self._count:
            return
        lines = [f"{self._path} is not a COCO annotation file that can be used; mend it or regenerate it:"]
        lines += [f"  {problem}" for problem in self._first]
        if self._count > len(self._first):
            lines.append(f"  and {self._count - len(self._first)} more")
        raise DataError("\n".join(lines))


@contextmanager
def _without_cycle_search() -> Iterator[None]:
    """Suspend the cycle collector: walking millions of new objects again and again doubles the load time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read_json(path: Path) -> tuple[bytes, dict[str, Any]]:
    """A file's bytes and the JSON object in them."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. Is the file complete?") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"{path} holds a {kind}, not an object with images, annotations and categories.")
    return raw, content


def _is_id(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_edge(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MAX_EDGE


def _is_flag(value: Any) -> bool:
    return type(value) in (int, bool) and value in (0, 1)


def _is_name(value: Any) -> bool:
    """Whether a value is a text to be read: control characters would reach terminals and pictures."""
    return isinstance(value, str) and bool(value.strip()) and not _CONTROL_CHARACTER.search(value)


def _is_safe_name(value: Any) -> bool:
    """Whether a file name is relative and stays under its root, on every operating system."""
    if not _is_name(value) or "\0" in value or re.match(r"[/\\]|[A-Za-z]:", value):
        return False
    return ".." not in re.split(r"[/\\]", value)


def _is_box(value: Any) -> bool:
    """Whether a value is four numbers; NaN, infinity and what no float can hold fail the comparison."""
    if not isinstance(value, list) or len(value) != 4:
        return False
    return all(type(n) in (int, float) and -_MAX_COORDINATE <= n <= _MAX_COORDINATE for n in value)


def _is_area(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= _MAX_COORDINATE**2)


class _Kind(NamedTuple):
    """What a column may hold."""

    is_valid: Callable[[Any], bool]
    expected: str


_ID = _Kind(_is_id, "an integer")
_EDGE = _Kind(_is_edge, f"an integer from 1 to {_MAX_EDGE}")
_FLAG = _Kind(_is_flag, "0 or 1")
_NAME = _Kind(_is_name, "a text that is not empty, without control characters")
_FILE_NAME = _Kind(_is_safe_name, "a path inside the image root")
_AREA = _Kind(_is_area, "a finite number, not negative")
_BOX = _Kind(_is_box, "four finite numbers [x, y, width, height]")


class _Table:
    """One of the lists of an annotation file, read column by column; what is wrong goes to ``problems``."""

    def __init__(self, content: dict[str, Any], name: str, problems: _Problems) -> None:
        self._name = name
        self._problems = problems
        self._items: list[dict[str, Any]] = []
        items = content.get(name)
        if not isinstance(items, list):
            problems.add(f"'{name}' is missing" if name not in content else f"'{name}' is not a list")
        elif not items and name != "annotations":
            problems.add(f"'{name}' is empty")
        else:
            self._items = items
            for row, item in enumerate(items):
                if not isinstance(item, dict):
                    problems.add(f"{name}[{row}] is not an object")

    def column(self, key: str, kind: _Kind, default: Any = None) -> list[Any]:
        """Values of one key; a problem for each that is missing or of another kind."""
        values = [item.get(key, default) for item in self._items]
        for row, value in enumerate(values):
            if not kind.is_valid(value):
                given = f"is {value!r:.60}" if key in self._items[row] else "is missing"
                self._problems.add(f"{self._item(row)}: {key} {given}; expected {kind.expected}")
        return values

    def positions(self, key: str, values: list[Any]) -> dict[Any, int]:
        """Position of each value; a problem for each that occurs twice."""
        position_by_value: dict[Any, int] = {}
        for row, value in enumerate(values):
            first = position_by_value.setdefault(value, row)
            if first != row:
                self._problems.add(f"{self._item(row)}: {key} {value!r} is taken by {self._item(first)}")
        return position_by_value

    def look_up(self, key: str, ids: list[int], position_by_id: dict[int, int]) -> NDArray[np.int64]:
        """Position of the item each row refers to; a problem for each row that refers to none."""
        positions = [position_by_id.get(value, -1) for value in ids]
        for row, position in enumerate(positions):
            if position < 0:
                self._problems.add(f"{self._item(row)}: there is no {key} {ids[row]}")
        return np.array(positions, dtype=np.int64)

    def _item(self, row: int) -> str:
        return f"{self._name}[{row}] (id {self._items[row].get('id')!r:.40})"


def _clip_boxes(
    boxes: NDArray[np.float64], sizes: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]:
    """Turn ``[x, y, width, height]`` into clipped corners; say which rows stay, and count the others."""
    boxes = boxes.reshape(-1, 4)
    edges = sizes[:, ::-1].astype(np.float64)
    top_left = np.clip(boxes[:, :2], 0, edges)
    bottom_right = np.clip(boxes[:, :2] + boxes[:, 2:], 0, edges)
    is_small = boxes[:, 2:].min(axis=1) < 1
    is_outside = ~is_small & ((bottom_right - top_left).min(axis=1) < 1 - _INSIDE_TOLERANCE)
    counts = {TOO_SMALL: int(is_small.sum()), OUTSIDE: int(is_outside.sum())}
    dropped = {reason: count for reason, count in counts.items() if count}
    return (
        np.concatenate([top_left, bottom_right], axis=1).astype(np.float32),
        ~is_small & ~is_outside,
        dropped,
    )
