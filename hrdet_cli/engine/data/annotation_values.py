"""What the values of an annotation file may be, and numbers that are only written in another way."""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from hrdet_cli.wording import is_showable

_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"\s*[+-]?(\d+)(\.\d*)?(e[+-]?\d{1,3})?\s*", re.ASCII | re.IGNORECASE)
_MAX_DIGITS = 20
_MAX_EXACT = 1 << 53  # from here on a float cannot hold every integer
MAX_COORDINATE = 1e9
_MAX_EDGE = 1 << 20
INSIDE_TOLERANCE = 1e-3  # keeps boxes of exactly one pixel whose edges were rounded
_BOX_KEYS = (("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height"))
_FLAG_BY_WORD = {"true": 1, "false": 0}


class Kind(NamedTuple):
    """What a column may hold.

    Attributes:
        is_valid: Whether a value will do as it is.
        expected: What that is, in words.
        mend: The number that a value stands for which only writes it in another way, such as ``"12"`` or
            ``12.0``; other values come back as they are.
        default: What an absent value and null stand for, where ``is_optional``.
        is_optional: Whether the value may be absent or null.
    """

    is_valid: Callable[[Any], bool]
    expected: str
    mend: Callable[[Any], Any] = lambda value: value
    default: Any = None
    is_optional: bool = False


def _is_id(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _is_edge(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MAX_EDGE


def _is_flag(value: Any) -> bool:
    return type(value) in (int, bool) and value in (0, 1)


def _is_name(value: Any) -> bool:
    """Whether a value is a text to be read, on terminals and pictures."""
    return isinstance(value, str) and bool(value.strip()) and is_showable(value)


def _is_safe_name(value: Any) -> bool:
    """Whether a file name is relative and stays under its root, on every operating system."""
    if not isinstance(value, str) or not value.strip() or _CONTROL_CHARACTER.search(value):
        return False  # halves of UTF-16 pairs stand for bytes of names that are no text
    if re.match(r"[/\\]|[A-Za-z]:", value):
        return False
    return ".." not in re.split(r"[/\\]", value)


def _is_coordinate(value: Any) -> bool:
    """Whether a value is a number to reckon with; NaN, infinity and what no float can hold are not."""
    return type(value) in (int, float) and -MAX_COORDINATE <= value <= MAX_COORDINATE


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_coordinate, value))


def _is_area(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= MAX_COORDINATE**2)


def _number_of(value: Any) -> Any:
    """The number that a text says, ``12`` or ``12.5``; every other value as it is."""
    if not isinstance(value, str) or not (match := _NUMBER.fullmatch(value)) or len(match[1]) > _MAX_DIGITS:
        return value
    return float(value) if match[2] or match[3] else int(value)


def _integer_of(value: Any) -> Any:
    """The integer that a text or a float says; every other value as it is."""
    number = _number_of(value)
    if type(number) is float and number.is_integer() and abs(number) < _MAX_EXACT:
        return int(number)
    return number


def _flag_of(value: Any) -> Any:
    word = value.strip().lower() if isinstance(value, str) else None
    return _FLAG_BY_WORD[word] if word in _FLAG_BY_WORD else _integer_of(value)


def _box_of(value: Any) -> Any:
    """The numbers of a box that are texts, one text ``[1, 2, 3, 4]`` as tables have it, named or nested."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = next(([value[key] for key in keys] for keys in _BOX_KEYS if value.keys() == set(keys)), value)
    return list(map(_number_of, value)) if isinstance(value, list) else value


ID = Kind(_is_id, "an integer", _integer_of)
EDGE = Kind(_is_edge, f"an integer from 1 to {_MAX_EDGE}", _integer_of)
FLAG = Kind(_is_flag, "0 or 1", _flag_of, default=0, is_optional=True)
NAME = Kind(_is_name, "a text that is not empty, without control characters")
ANYTHING = Kind(lambda _: True, "anything", is_optional=True)
FILE_NAME = Kind(_is_safe_name, "a path inside the image root")
AREA = Kind(_is_area, f"a number from 0 to {MAX_COORDINATE**2:g}", _number_of, is_optional=True)
BOX = Kind(
    _is_box,
    f"four numbers [x, y, width, height] from {-MAX_COORDINATE:g} to {MAX_COORDINATE:g}",
    _box_of,
)
