"""Dotted keys of specs, such as ``optimisation.num_epochs``."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def leaves(values: Any, prefix: str = "", *, with_empty: bool = False) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in nested dictionaries that is no dictionary.

    Args:
        values: The dictionaries.
        prefix: What their keys begin with.
        with_empty: Give also the dictionaries in which nothing is, such as a section all of defaults.
    """
    if isinstance(values, dict) and (values or not with_empty):
        for key, value in values.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else key, with_empty=with_empty)
    else:
        yield prefix, values


def value_at(values: Any, key: str | Sequence[int | str]) -> Any:
    """What a key of nested dictionaries and lists has, be it a section.

    Args:
        values: The dictionaries.
        key: With dots, or in parts; a number is an item of a list.

    Returns:
        None where there is nothing, as in a section that is switched off.
    """
    for part in key.split(".") if isinstance(key, str) else key:
        if isinstance(values, list) and str(part).isdecimal():
            values = values[int(part)] if int(part) < len(values) else None
        else:
            values = values.get(part) if isinstance(values, Mapping) else None
    return values


def is_within(key: str, sections: Sequence[str]) -> bool:
    """Whether a key is one of some keys, or in one of these sections."""
    return any(key == section or key.startswith(f"{section}.") for section in sections)
