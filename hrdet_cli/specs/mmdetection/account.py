"""The account of a configuration: every value of it ends as taken, default or without counterpart, once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hrdet_cli.specs.mmdetection.entries import Path
from hrdet_cli.specs.mmdetection.known_config import KnownConfig
from hrdet_cli.specs.mmdetection.rules import NoCounterpartError
from hrdet_cli.specs.yaml_text import shown

Status = Literal["taken", "default", "no counterpart"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a key of a configuration.

    Attributes:
        written: The key, or the section, as it stands there.
        value: What it says; of a section its type.
        status: ``taken`` where the spec says it, ``default`` where hrdet does so anyway.
        leaves: Every key below it that is accounted for with it.
        ours: Our values that it decides, by their dotted keys.
        why: What to tell of it.
        is_name: Whether mmdetection does not know the key, whose value stands in others.
    """

    written: str
    value: Any
    status: Status
    leaves: tuple[str, ...]
    ours: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""
    is_name: bool = False


@dataclass(slots=True)
class Applied:
    """The result of all rules.

    Attributes:
        outcomes: In the order of the configuration.
        values: Ours by their dotted keys.
        implied: Those among them that no key of the configuration says, but mmdetection's own defaults do.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    implied: dict[str, Any] = field(default_factory=dict)


class Account:
    """Which entries are accounted for, and with what.

    Attributes:
        known: The configuration.
        applied: What became of it so far.
        problems: Why no spec can be made of it.
    """

    def __init__(self, known: KnownConfig) -> None:
        self.known = known
        self.applied = Applied()
        self.problems: list[str] = []
        self._open = dict(known.entries)
        self._given: dict[str, Any] = {}

    def take(self, nodes: Sequence[Path]) -> list[list[Path]]:
        """For each of some keys the entries at and below it that nothing accounted for yet.

        Keys below which nothing is left are not among them.
        """
        taken = []
        for node in dict.fromkeys(nodes):
            paths = [path for path in self._open if path[: len(node)] == node]
            for path in paths:
                del self._open[path]
            taken += [paths] if paths else []
        return taken

    def record(
        self,
        taken: Sequence[Sequence[Path]],
        status: Status,
        *,
        ours: Mapping[str, Any] | None = None,
        why: str = "",
    ) -> None:
        """What became of the entries of some keys."""
        for paths in taken:
            leaves = tuple(self.known.entries[path].written for path in paths)
            self.applied.outcomes.append(
                Outcome(section_of(leaves), self._value_of(paths), status, leaves, ours or {}, why)
            )

    def _value_of(self, taken: Sequence[Path]) -> Any:
        """What a key says; of a dictionary its type."""
        if len(taken) == 1:
            return self.known.entries[taken[0]].value
        first = min(taken, key=len)
        return self.known.entries[first].value if first[-1] == "type" else None

    def set(self, target: str, ours: Any, *, is_given: bool) -> None:
        """Give a key of ours its value; what mmdetection takes by itself gives way to what it is told.

        Raises:
            NoCounterpartError: Another key has given it another value.
        """
        values, implied = self.applied.values, self.applied.implied
        if not is_given:
            if target not in self._given:
                values[target] = implied[target] = ours
            return
        if self._given.setdefault(target, ours) != ours:
            raise NoCounterpartError(f"{target} is {shown(self._given[target])} already, and hrdet has one")
        implied.pop(target, None)
        values[target] = ours

    def remaining(self) -> list[Path]:
        """The entries that nothing accounts for."""
        return list(self._open)


def section_of(keys: Sequence[str]) -> str:
    """The key itself, or the section that several have in common."""
    first, last = min(keys), max(keys)
    if first == last:
        return first
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    start = first[:length]
    cut = max(start.rfind("."), start.rfind("["))
    return start[:cut] if cut > 0 else start
