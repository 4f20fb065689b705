"""The layers an experiment is put together from, and which of them set each value.

A layer is a nested mapping with a name: a preset, the preset it is based on, a spec file, a command-line
option.  Later layers win key by key.  A layer that changes what a section *is* (its ``kind`` or ``policy``)
starts that section afresh, since the old keys belong to something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.presets import find_preset
from hrdet_cli.specs.yaml_text import parse_yaml

SECTION_KINDS = ("kind", "policy")


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place."""

    source: str
    values: Mapping[str, Any]


@dataclass(slots=True)
class Layered:
    """Layers merged, with the source of every leaf by its dotted key."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """Put a layer on top."""
        self._merge(self.values, layer.values, prefix="", source=layer.source)

    def _merge(self, below: dict[str, Any], above: Mapping[str, Any], *, prefix: str, source: str) -> None:
        if any(kind in above and kind in below and above[kind] != below[kind] for kind in SECTION_KINDS):
            below.clear()
            self._forget(prefix)
        for key, value in above.items():
            dotted = f"{prefix}{key}"
            if isinstance(value, Mapping):
                if not isinstance(below.get(key), dict):
                    self.sources.pop(dotted, None)
                    below[key] = {}
                self._merge(below[key], value, prefix=f"{dotted}.", source=source)
            else:
                self._forget(f"{dotted}.")
                below[key] = value
                self.sources[dotted] = source

    def _forget(self, prefix: str) -> None:
        for key in [key for key in self.sources if key.startswith(prefix)]:
            del self.sources[key]


def preset_layers(name: str) -> list[Layer]:
    """A preset and the presets it is based on, lowest first."""
    return list(_file_layers(find_preset(name).path, f"preset {name}", chain=()))


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


def _setting_layer(setting: str) -> Layer:
    key, equals, text = setting.partition("=")
    source = f"--set {setting}"
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SpecError([f"{source}: write it as --set section.key=value"])
    value = parse_yaml(text, source=source)
    for part in reversed(parts):
        value = {part: value}
    return Layer(source, value)


def _file_layers(path: Path, source: str, *, chain: Sequence[str]) -> Iterator[Layer]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SpecError([f"{path}: cannot be read as a spec: {reason}"]) from error
    values = parse_yaml(text, source=str(path))
    if not isinstance(values, dict):
        raise SpecError([f"{path}: a spec is a mapping of sections, not {type(values).__name__}"])
    base = values.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise SpecError([f"{path}: base: must be the name of a preset, not {base!r}"])
        if base in chain:
            raise SpecError([f"{path}: base: the presets {' -> '.join([*chain, base])} go round in a circle"])
        try:
            preset = find_preset(base)
        except SpecError as error:
            raise SpecError([f"{path}: base: {problem}" for problem in error.problems]) from error
        yield from _file_layers(preset.path, f"preset {base}", chain=[*chain, base])
    yield Layer(source, values)
