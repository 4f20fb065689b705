"""A COCO annotation file as columns of checked values.

msgspec reads the few keys that are used and skips the rest, above all the polygons, without making objects
of them: a third of the time that ``json`` takes for COCO's training file, and a quarter of the memory. What
it refuses is read again by ``json``, which can say where the fault is, and which takes the NaN and Infinity
that Python writes: harmless among what is not used, and otherwise found by the checks here.
"""

import codecs
import gc
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.errors import DataError

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MAX_PROBLEMS_SHOWN = 20
_MAX_COORDINATE = 1e9
_MAX_EDGE = 1 << 20
_BYTES_AT_ONCE = 1 << 20


class _Image(msgspec.Struct, gc=False):
    """The keys that are used; any value will do here, for all faults of a file are told at once."""

    id: Any = msgspec.UNSET
    file_name: Any = msgspec.UNSET
    height: Any = msgspec.UNSET
    width: Any = msgspec.UNSET


class _Annotation(msgspec.Struct, gc=False):
    id: Any = msgspec.UNSET
    image_id: Any = msgspec.UNSET
    category_id: Any = msgspec.UNSET
    bbox: Any = msgspec.UNSET
    area: Any = None
    iscrowd: Any = 0


class _Category(msgspec.Struct, gc=False):
    id: Any = msgspec.UNSET
    name: Any = msgspec.UNSET


class _Content(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


_KIND_BY_LIST: dict[str, type[msgspec.Struct]] = {
    "images": _Image,
    "annotations": _Annotation,
    "categories": _Category,
}


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """The three lists of a file, not yet checked.

    Attributes:
        problems: Collects what is wrong with them.
        fingerprint: SHA-256 of the file's bytes, in hexadecimal.
    """

    images: "Table"
    annotations: "Table"
    categories: "Table"
    problems: "Problems"
    fingerprint: str


def read_annotation_file(path: Path) -> AnnotationFile:
    """Read a file and find its three lists of objects.

    Raises:
        DataError: The file cannot be read, is not JSON or has not these lists.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error
    return annotation_file_of(raw, path=path)


def annotation_file_of(raw: bytes, *, path: Path) -> AnnotationFile:
    """The same of bytes that were read from ``path``.

    Raises:
        DataError: They are not JSON in UTF-8 or have not these lists.
    """
    refuse_other_than_utf8(raw, path=path)
    content, problems = _parse(path, raw), Problems(path)
    file = AnnotationFile(
        images=Table("images", content, problems),
        annotations=Table("annotations", content, problems, may_be_empty=True),
        categories=Table("categories", content, problems),
        problems=problems,
        fingerprint=hashlib.sha256(raw).hexdigest(),
    )
    problems.raise_if_any()
    return file


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Suspend the cycle collector: walking millions of new objects again and again doubles the load time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _parse(path: Path, raw: bytes) -> Mapping[str, Any]:
    """The JSON object of a file; items of its lists are structs, unless they are no objects."""
    try:
        content = msgspec.json.decode(raw, type=_Content)
    except (msgspec.MsgspecError, RecursionError):
        return _parse_leniently(path, raw)
    return {name: getattr(content, name) for name in _KIND_BY_LIST}


def _parse_leniently(path: Path, raw: bytes) -> Mapping[str, Any]:
    """The same for what msgspec refuses: broken files, and those with NaN, Infinity or lone surrogates."""
    try:
        content = json.loads(raw, parse_int=int_of)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}. Is the file complete?") from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise DataError(f"{path} holds a {found}, not an object with images, annotations and categories.")
    for name, kind in _KIND_BY_LIST.items():
        if isinstance(content.get(name), list):
            content[name] = [_struct_from(kind, item) for item in content[name]]
    return content


def refuse_other_than_utf8(raw: bytes, *, path: Path) -> None:
    """JSON is UTF-8, also where its texts are not used; Python's own reader takes UTF-16 and UTF-32 too.

    Raises:
        DataError: The bytes are none of these.
    """
    decoder = codecs.getincrementaldecoder(json.detect_encoding(raw))()
    try:
        for start in range(0, len(raw), _BYTES_AT_ONCE):  # whole, the text could take four times the memory
            decoder.decode(raw[start : start + _BYTES_AT_ONCE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not JSON: {error}. Save it as UTF-8; is it complete?") from error


def int_of(text: str) -> int | float:
    """A whole number of JSON; infinite where Python refuses to read it, which none that is used may be."""
    try:
        return int(text)
    except ValueError:
        return -math.inf if text.startswith("-") else math.inf


def _struct_from(kind: type[msgspec.Struct], item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return kind(**{key: item[key] for key in kind.__struct_fields__ if key in item})


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


class Kind(NamedTuple):
    """What a column may hold."""

    is_valid: Callable[[Any], bool]
    expected: str


ID = Kind(_is_id, "an integer")
EDGE = Kind(_is_edge, f"an integer from 1 to {_MAX_EDGE}")
FLAG = Kind(_is_flag, "0 or 1")
NAME = Kind(_is_name, "a text that is not empty, without control characters")
FILE_NAME = Kind(_is_safe_name, "a path inside the image root")
AREA = Kind(_is_area, f"a number from 0 to {_MAX_COORDINATE**2:g}")
BOX = Kind(_is_box, f"four numbers [x, y, width, height] from {-_MAX_COORDINATE:g} to {_MAX_COORDINATE:g}")


class Problems:
    """Problems found in one file: counts all, remembers the first few."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        """Note a problem."""
        self._count += 1
        if len(self._first) < _MAX_PROBLEMS_SHOWN:
            self._first.append(problem)

    def raise_if_any(self) -> None:
        """Raise.

        Raises:
            DataError: There are problems; lists the first of them.
        """
        if not self._count:
            return
        lines = [f"{self._path} is not a COCO annotation file that can be used; mend it or regenerate it:"]
        lines += [f"  {problem}" for problem in self._first]
        if self._count > len(self._first):
            lines.append(f"  and {self._count - len(self._first)} more")
        raise DataError("\n".join(lines))


class Table:
    """One of the lists of an annotation file, read column by column; what is wrong goes to ``problems``."""

    def __init__(
        self, name: str, content: Mapping[str, Any], problems: Problems, *, may_be_empty: bool = False
    ) -> None:
        self._name = name
        self._problems = problems
        self._items: list[msgspec.Struct] = []
        items = content.get(name)
        if not isinstance(items, list):
            problems.add(f"'{name}' is missing" if name not in content else f"'{name}' is not a list")
        elif not items and not may_be_empty:
            problems.add(f"'{name}' is empty")
        else:
            self._items = items
            for row, item in enumerate(items):
                if not isinstance(item, msgspec.Struct):
                    problems.add(f"{name}[{row}] is not an object")

    def column(self, key: str, kind: Kind) -> list[Any]:
        """Values of one key; a problem for each that is missing or of another kind."""
        values = [getattr(item, key) for item in self._items]
        for row, value in enumerate(values):
            if not kind.is_valid(value):
                given = "is missing" if value is msgspec.UNSET else f"is {value!r:.60}"
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
        given = getattr(self._items[row], "id", None)
        return f"{self._name}[{row}] (id {None if given is msgspec.UNSET else given!r:.40})"
