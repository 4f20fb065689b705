"""The values of a configuration, each with the place where it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
"""The parts of a key; items of lists have their numbers for names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a configuration.

    Attributes:
        written: Where it stands there, such as ``data.train.pipeline[2].img_scale``.
        value: A number, a text, a list of such, None, or an empty dictionary.
    """

    written: str
    value: Any


Entries = dict[Path, Entry]


def flat_entries(value: Any, path: Path = (), written: str = "") -> Iterator[tuple[Path, Entry]]:
    """Everything in nested values that is no dictionary and no list of such."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat_entries(inner, (*path, key), f"{written}.{key}" if written else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, inner in enumerate(value):
            yield from flat_entries(inner, (*path, str(index)), f"{written}[{index}]")
    else:
        yield path, Entry(written, value)
