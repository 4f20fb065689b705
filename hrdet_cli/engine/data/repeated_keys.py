"""Keys that an object of JSON gives twice: every reader takes the last value, and says nothing.

``msgspec`` reads millions of entries in a second and cannot be asked. But a key that no entry has twice
stands in the text as often as there are entries with it; only where it stands there more often, entries are
looked at one by one.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from hrdet_cli.engine.data.json_text import ObjectWithRepeatedKeys, object_of_pairs

RepeatedValues = dict[int, dict[str, list[Any]]]
"""Of each row with a key given twice with different values: those values, by key."""

_KEY = re.compile(rb'\s*,?\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_BYTES_AT_ONCE = 1 << 20
_NOT_IN_KEYS = b"0123456789.,- []{}:\n\r\t"


def repetition(key: str, values: Sequence[Any]) -> str:
    """What is said of a key that is given several times."""
    number = "twice" if len(values) == 2 else f"{len(values)} times"
    return f"{key} is given {number}, as {' and '.join(f'{value!r:.60}' for value in values[:3])}"


def contradictions(item: Any, keys: Iterable[str]) -> dict[str, list[Any]]:
    """Those of the keys that an object gives several times with different values, with the values."""
    if not isinstance(item, ObjectWithRepeatedKeys):
        return {}
    repeated = {key: item.values_by_key[key] for key in keys if key in item.values_by_key}
    return {key: values for key, values in repeated.items() if any(value != values[0] for value in values)}


def repeated_in_list(
    text: msgspec.Raw, items: Sequence[msgspec.Struct], keys: Sequence[str]
) -> RepeatedValues:
    """The rows of a list whose objects give a key twice with different values.

    Args:
        text: The list, as JSON.
        items: The same, read; a key that an object does not have is ``UNSET``.
        keys: Those to look for.
    """
    view = memoryview(text)
    parts = (view[start : start + _BYTES_AT_ONCE] for start in range(0, len(view), _BYTES_AT_ONCE))
    names = b"".join(
        bytes(part).translate(None, _NOT_IN_KEYS) for part in parts
    )  # every key stays, little else
    if all(names.count(f'"{key}"'.encode()) == _num_with(key, items) for key in keys):
        return {}
    repeated: RepeatedValues = {}
    marks = [f'"{key}"'.encode() for key in keys]
    for row, entry in enumerate(msgspec.json.decode(text, type=list[msgspec.Raw])):
        content = bytes(entry)
        if any(content.count(mark) > 1 for mark in marks):
            item = json.loads(content, object_pairs_hook=object_of_pairs)
            if found := contradictions(item, keys):
                repeated[row] = found
    return repeated


def has_repeated_keys(text: bytes, values: Mapping[str, msgspec.Raw]) -> bool:
    """Whether an object gives one of its own keys more than once, those of objects in it not counted.

    Args:
        text: The object, as JSON.
        values: The same, read: the last value of each key.
    """
    place, seen = text.index(b"{") + 1, set[str]()
    while (match := _KEY.match(text, place)) is not None:
        key = json.loads(match[1])
        value = memoryview(values[key])
        if key in seen or not text.startswith(value, match.end()):
            return True
        seen.add(key)
        place = match.end() + len(value)
    return False


def _num_with(key: str, items: Sequence[msgspec.Struct]) -> int:
    return sum(getattr(item, key) is not msgspec.UNSET for item in items)
