"""Layers merged into one spec, and which of them set each value.

Later layers win key by key; keys that are numbers are items of a list, counted from 0
(``data.train.1.split``).  A layer that changes what a section *is* (its ``kind`` or ``policy``) starts that
section afresh, since the old keys belong to something else; a section of `IMPLIED_KINDS` has a kind before
any layer names one.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.base import SECTION_KINDS
from hrdet_cli.specs.layers import Layer

IMPLIED_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "data.sampling": "shuffle",
        "model.head": "faster_rcnn",
        "optimisation.optimiser": "sgd",
        "optimisation.schedule": "steps",
    }
)
"""What sections are of which no layer says it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A section whose kind a layer names again, so that the section stays as it was.

    Attributes:
        section: Its dotted key.
        layer: The source of the layer.
        named: The keys of the section that the layer has.
    """

    section: str
    layer: str
    named: frozenset[str]


@dataclass(slots=True)
class MergedLayers:
    """Layers merged, with the source of every leaf by its dotted key.

    Attributes:
        kept: What layers that are no presets said again; people may think that they began it afresh.
        replaced_lists: Lists in whose place a layer has a section, by their dotted keys: the number of items,
            and who made the list. Perhaps an item was meant.
    """

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    replaced_lists: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Put a layer on top."""
        self._merge(self.values, layer.values, prefix="", layer=layer)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], *, prefix: str, layer: Layer) -> None:
        if prefix.removesuffix(".") in IMPLIED_KINDS:
            below.setdefault("kind", IMPLIED_KINDS[prefix.removesuffix(".")])
        again = [kind for kind in SECTION_KINDS if kind in above and kind in below]
        if any(above[kind] != below[kind] for kind in again):
            below.clear()
            self._forget(prefix)
        elif again and not layer.is_preset:
            self.kept.append(Kept(prefix.removesuffix("."), layer.source, frozenset(above)))
        source = layer.source
        for key, value in above.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, Mapping) and isinstance(below.get(key), list) and _are_numbers(value):
                below[key] = copy.deepcopy(below[key])  # it is the layer's that made it
                self._merge_items(below[key], value, key=dotted, layer=layer)
            elif isinstance(value, Mapping):
                if isinstance(below.get(key), list):
                    self.replaced_lists[dotted] = (len(below[key]), self.sources.get(dotted, "the spec"))
                if not isinstance(below.get(key), dict):
                    self._forget(f"{dotted}.")
                    self.sources.pop(dotted, None)
                    below[key] = {}
                    if not value:  # a section that is switched on as it is
                        self.sources[dotted] = source
                self._merge(below[key], value, prefix=f"{dotted}.", layer=layer)
            else:
                self._forget(f"{dotted}.")
                below[key] = value
                self.sources[dotted] = source

    def _merge_items(self, items: list[Any], above: Mapping[str, Any], *, key: str, layer: Layer) -> None:
        """Change sections of a list in place.

        Raises:
            SpecError: There is no such item, or it is no section.
        """
        for number, value in above.items():
            place = int(number)
            if place >= len(items):
                there = "it is empty" if not items else f"the last one is {key}.{len(items) - 1}"
                raise SpecError([f"{layer.source}: there is no {key}.{number}; {there}"])
            if not (isinstance(items[place], dict) and isinstance(value, Mapping)):
                raise SpecError([f"{layer.source}: set {key} as a whole, as a list"])
            self._merge(items[place], value, prefix=f"{key}.{place}.", layer=layer)

    def _forget(self, prefix: str) -> None:
        for key in [key for key in self.sources if key.startswith(prefix)]:
            del self.sources[key]


def _are_numbers(section: Mapping[str, Any]) -> bool:
    return bool(section) and all(re.fullmatch("[0-9]{1,9}", str(key)) for key in section)
