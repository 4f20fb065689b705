"""The layers an experiment is put together from, and which of them set each value.

A layer is a nested mapping with a name: a preset, the preset it is based on, a spec file, a command-line
option.  Later layers win key by key; keys that are numbers are items of a list, counted from 0
(``data.train.1.split``).  A layer that changes what a section *is* (its ``kind`` or ``policy``) starts that
section afresh, since the old keys belong to something else; a section of `IMPLIED_KINDS` has a kind before
any layer names one.  Keys that were renamed get their new names as soon as a text is read.
"""

import codecs
import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file
from hrdet_cli.specs.presets import all_presets, find_preset
from hrdet_cli.specs.renamed_keys import renamed
from hrdet_cli.specs.yaml_text import parse_yaml, shown
from hrdet_cli.wording import shortened

SECTION_KINDS = ("kind", "policy")
IMPLIED_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "data.sampling": "shuffle",
        "model.head": "faster_rcnn",
        "optimisation.optimiser": "sgd",
        "optimisation.schedule": "steps",
    }
)
"""What sections are of which no layer says it."""
SCRIPT_SETTINGS = "settings"
"""The source of what a script sets."""
_MOST_PARTS, _MOST_SHOWN = 20, 100
_MOST_BYTES = 2**20
"""Specs have a few kilobytes; annotations given in place of one have many megabytes."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place."""

    source: str
    values: Mapping[str, Any]
    is_preset: bool = False


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
class Layered:
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


def preset_layers(name: str) -> list[Layer]:
    """A preset and the presets it is based on, lowest first."""
    return list(_file_layers(find_preset(name).path, f"preset {name}", chain=(), is_preset=True))


def spec_file_layers(path: Path) -> list[Layer]:
    """A spec file and the presets it is based on, lowest first.

    Raises:
        SpecError: The file cannot be read, is not a mapping, or its ``base:`` leads nowhere or in a circle.
    """
    return list(_file_layers(path, str(path), chain=()))


def setting_layers(settings: Sequence[str]) -> list[Layer]:
    """Each ``--set a.b=c`` as a layer; values are read as YAML, so they are typed.

    Raises:
        SpecError: With every setting that is not of the form ``key=value``.
    """
    layers, problems = [], []
    for setting in settings:
        try:
            layers.append(_setting_layer(setting))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return layers


def mapping_layers(settings: Mapping[str, object]) -> list[Layer]:
    """Each setting of a script as a layer, as `setting_layers` makes them of texts.

    Args:
        settings: Values by dotted key. They are None, bools, numbers, texts, paths, and lists, tuples and
            mappings of such.

    Raises:
        SpecError: With every setting that is something else.
    """
    layers, problems = [], []
    for key, value in settings.items():
        try:
            layers.append(_layer_of(key, _plain(value)))
        except TypeError as error:
            problems.append(f"{SCRIPT_SETTINGS}: {key}: {error}")
    if problems:
        raise SpecError(problems)
    return layers


def is_asked_for(source: str) -> bool:
    """Whether a layer is what a call itself asks for: an option of the command line, a script's setting."""
    return source.startswith("--") or source == SCRIPT_SETTINGS


def _layer_of(key: str, value: Any) -> Layer:
    parts = key.split(".") if isinstance(key, str) else []
    if not parts or not all(parts) or len(parts) > _MOST_PARTS:
        raise TypeError("is no dotted key; write it as 'section.key'")
    for part in reversed(parts):
        value = {part: value}
    return Layer(SCRIPT_SETTINGS, renamed(value, source=SCRIPT_SETTINGS))


def _plain(value: object) -> Any:
    """A value as YAML would have given it."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case Mapping() if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
    raise TypeError(
        f"a value of the type {type(value).__name__} has no place in a spec, which has numbers, texts, "
        "bools, None, and lists and dictionaries of these"
    )


def _setting_layer(setting: str) -> Layer:
    key, equals, text = setting.partition("=")
    source = f"--set {shortened(setting, _MOST_SHOWN)}"
    parts = key.strip().split(".")
    if not equals or not all(parts) or len(parts) > _MOST_PARTS:
        raise SpecError([f"{source}: write it as --set section.key=value"])
    if not _is_text(key):
        raise SpecError([f"{source}: the key is not UTF-8 text; write it as --set section.key=value"])
    value = parse_yaml(text, source=source)
    for part in reversed(parts):
        value = {part: value}
    return Layer(source, renamed(value, source=source))


def _is_text(key: str) -> bool:
    """Whether an argument of the command line was text: bytes that are not come as halves of characters."""
    return not any("\ud800" <= letter <= "\udfff" for letter in key)


def _file_layers(
    path: Path, source: str, *, chain: Sequence[str], is_preset: bool = False
) -> Iterator[Layer]:
    values = dict(_preset_values(path) if is_preset else _values_of(path))
    base = values.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise SpecError([f"{path}: base: must be the name of a preset, not {shown(base)}"])
        if base in chain:
            raise SpecError([f"{path}: base: the presets {' -> '.join([*chain, base])} go round in a circle"])
        try:
            preset = find_preset(base)
        except SpecError as error:
            raise SpecError([f"{path}: base: {problem}" for problem in error.problems]) from error
        yield from _file_layers(preset.path, f"preset {base}", chain=[*chain, base], is_preset=True)
    yield Layer(source, values, is_preset=is_preset)


@cache
def _preset_values(path: Path) -> Mapping[str, Any]:
    """Those of a preset, which stays as it is and which others are based on."""
    return MappingProxyType(_values_of(path))


def _values_of(path: Path) -> dict[str, Any]:
    return parse_spec(read_spec_text(path), source=str(path))


def parse_spec(text: str, *, source: str) -> dict[str, Any]:
    """The sections that a text has, by the names that keys have now.

    Raises:
        SpecError: It is not YAML, or no mapping, or has a key by its older and its newer name.
    """
    values = parse_yaml(text, source=source)
    if values is None:
        raise SpecError([f"{source}: is empty; a spec is a mapping of sections"])
    if not isinstance(values, dict):
        raise SpecError([f"{source}: a spec is a mapping of sections, not {shown(values)}"])
    return renamed(values, source=source)


def read_spec_text(path: Path) -> str:
    """The text of a spec file, which must be one.

    Raises:
        SpecError: The file cannot be read, or is something else; says what.
    """
    if path.is_fifo() and not path.is_relative_to(
        "/dev"
    ):  # those of a shell's <(...) have somebody who writes
        raise SpecError([f"{path}: is a pipe, which may never be written into; give a file"])
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter of NUL in a path
        reason = error.strerror if isinstance(error, OSError) else error
        hint = f"; a preset is given with --preset {path}" if str(path) in all_presets() else ""
        raise SpecError([f"{path}: cannot be read as a spec: {reason}{hint}"]) from error
    kind = kind_of_file(raw[:NUM_BYTES_NEEDED])
    if kind is not None:
        remedy = kind.remedy or "Give the spec, a YAML file."
        raise SpecError([f"{path}: is {kind.name}, not a spec. {remedy}"])
    if len(raw) > _MOST_BYTES:
        raise SpecError(
            [f"{path}: has more than {_MOST_BYTES:,} bytes, which no spec has: is it the right file?"]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        what = "is UTF-16" if is_utf16 else f"is not UTF-8 text (line {row})"
        raise SpecError([f"{path}: cannot be read as a spec: {what}; save it as UTF-8"]) from error
