"""A configuration as rules look at it: by the keys of mmdetection 3."""

from collections.abc import Iterator, Mapping
from typing import Any

from hrdet_cli.specs.mmdetection.entries import Entries, Path


class KnownConfig:
    """A configuration as rules look at it.

    Args:
        entries: By the keys of mmdetection 3.
        generation: Of the configuration.
        names: What is assigned at its top, as it is written.
    """

    def __init__(self, entries: Entries, generation: int, *, names: Mapping[str, Any]) -> None:
        self.entries = entries
        self.generation = generation
        self.names = names
        self._tree: dict[str, Any] = {}
        for path, entry in entries.items():
            place = self._tree
            for part in path[:-1]:
                inner = place.setdefault(part, {})
                place = inner if isinstance(inner, dict) else {}
            place[path[-1]] = entry.value

    def get(self, key: str) -> Any:
        """The value at a dotted key; a list of values where a part has ``[]``; None where there is none."""
        found = self.find(tuple(key.split(".")))
        if "[]" in key:
            return [value for _, value in found] or None
        return found[0][1] if found else None

    def find(self, pattern: Path) -> list[tuple[Path, Any]]:
        """Paths that a pattern fits, with what is there."""
        return list(_walk(self._tree, pattern, ()))


def _walk(value: Any, pattern: Path, path: Path) -> Iterator[tuple[Path, Any]]:
    if not pattern:
        yield path, _plain(value)
        return
    name = pattern[0].removesuffix("[]")
    if name == "*" and isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, pattern[1:], (*path, key))
    if not isinstance(value, dict) or name not in value:
        return
    inner, path = value[name], (*path, name)
    if pattern[0].endswith("[]") and _is_list(inner):
        for index, item in inner.items():
            yield from _walk(item, pattern[1:], (*path, index))
    else:
        yield from _walk(inner, pattern[1:], path)


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(key.isdigit() for key in value)


def _plain(value: Any) -> Any:
    if _is_list(value):
        return [_plain(item) for item in value.values()]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value
