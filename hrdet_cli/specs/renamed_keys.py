"""Keys and values that had other names once: the old ones stand for the new ones wherever a spec is read."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError

RENAMED_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "model.rpn": "model.head.rpn",
        "model.roi_head": "model.head.roi_head",
        "model.neck_channels": "model.neck.channels",
        "model.backbone.neck_interpolation": "model.neck.interpolation",
        "model.backbone.neck_pooling": "model.neck.pooling",
        "optimisation.drop_epochs": "optimisation.schedule.drop_epochs",
        "optimisation.momentum": "optimisation.optimiser.momentum",
        "optimisation.drop_factor": "optimisation.schedule.drop_factor",
    }
)
"""Dotted keys and sections of older versions, and what they are called now."""
SWITCHES_THAT_WERE: Mapping[str, Mapping[bool, str]] = MappingProxyType(
    {"model.activation_checkpointing": {True: "modules", False: "off"}}
)
"""Dotted keys that were true or false in older versions, and what that is called now."""


def renamed(values: Mapping[Any, Any], *, source: str) -> dict[Any, Any]:
    """The values of a layer, with what has an old name under its new one, and by its new words.

    Args:
        values: Nested; left as they are.
        source: What to call them in messages.

    Raises:
        SpecError: A key is there by both names.
    """
    moved = _copy(values)
    problems = []
    for old, new in RENAMED_KEYS.items():
        found = _take(moved, old.split("."))
        problems += [
            f"{source}: {old}{inner} is the older name of {new}{inner}, which is there too; give one of them"
            for inner in _put(moved, new.split("."), *found)
        ]
    if problems:
        raise SpecError(problems)
    for key, words in SWITCHES_THAT_WERE.items():
        _reword(moved, key.split("."), words)
    return moved


def _reword(values: dict[Any, Any], path: Sequence[str], words: Mapping[bool, str]) -> None:
    """Put words in the place of what is true or false at a path."""
    name, *inner = path
    value = values.get(name)
    if inner and isinstance(value, dict):
        _reword(value, inner, words)
    elif not inner and isinstance(value, bool):
        values[name] = words[value]


def _copy(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in values.items()}


def _take(values: dict[Any, Any], path: Sequence[str]) -> list[Any]:
    """Take out what is at a path, if anything is, and the sections that are empty without it."""
    name, *inner = path
    if name not in values or (inner and not isinstance(values[name], dict)):
        return []
    if not inner:
        return [values.pop(name)]
    found = _take(values[name], inner)
    if found and not values[name]:
        del values[name]
    return found


def _put(values: dict[Any, Any], path: Sequence[str], *found: Any) -> Iterator[str]:
    """Put what was found at a path; yields the keys behind it (with a dot) that have a value already."""
    for value in found:
        for name in reversed(path):
            value = {name: value}
        for key in _fill(values, value):
            yield "".join(f".{name}" for name in key[len(path) :])


def _fill(below: dict[Any, Any], above: Mapping[Any, Any]) -> Iterator[tuple[Any, ...]]:
    """Add values to others that they leave alone; yields the paths at which there is something already."""
    for key, value in above.items():
        if key not in below:
            below[key] = value
        elif isinstance(value, dict) and isinstance(below[key], dict):
            yield from ((key, *inner) for inner in _fill(below[key], value))
        else:
            yield (key,)
