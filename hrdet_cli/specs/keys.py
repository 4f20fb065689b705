"""Dotted keys of specs, such as ``optimisation.num_epochs``."""

from collections.abc import Iterator, Sequence
from typing import Any


def leaves(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested dictionaries that is no dictionary."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, values


def value_at(values: Any, key: str) -> Any:
    """What a dotted key of nested dictionaries and lists leads to; a number is an item of a list."""
    for part in key.split("."):
        values = values[int(part) if isinstance(values, list) else part]
    return values


def is_within(key: str, sections: Sequence[str]) -> bool:
    """Whether a key is one of some keys, or in one of these sections."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
