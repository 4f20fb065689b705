"""The layers that an experiment is put together from.

A layer is a nested mapping with a name: a preset, the preset it is based on, a spec file, a command-line
option.  `merging` puts them on top of each other.  Keys that were renamed get their new names as soon as a
text is read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.presets import find_preset
from hrdet_cli.specs.renamed_keys import renamed
from hrdet_cli.specs.spec_text import parse_spec, read_spec_text
from hrdet_cli.specs.yaml_text import parse_yaml, shown
from hrdet_cli.wording import shortened

SCRIPT_SETTINGS = "settings"
"""The source of what a script sets."""
_MOST_PARTS, _MOST_SHOWN = 20, 100


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place."""

    source: str
    values: Mapping[str, Any]
    is_preset: bool = False


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
    if not isinstance(key, str) or not _is_dotted_key(key):
        raise TypeError("is no dotted key; write it as 'section.key'")
    return Layer(SCRIPT_SETTINGS, renamed(_nested(key, value), source=SCRIPT_SETTINGS))


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
    key = key.strip()
    if not equals or not _is_dotted_key(key):
        raise SpecError([f"{source}: write it as --set section.key=value"])
    if not _is_text(key):
        raise SpecError([f"{source}: the key is not UTF-8 text; write it as --set section.key=value"])
    return Layer(source, renamed(_nested(key, parse_yaml(text, source=source)), source=source))


def _is_dotted_key(key: str) -> bool:
    parts = key.split(".")
    return all(parts) and len(parts) <= _MOST_PARTS


def _nested(key: str, value: Any) -> dict[str, Any]:
    """A section of sections with one value in it."""
    outermost, *inner = key.split(".")
    for part in reversed(inner):
        value = {part: value}
    return {outermost: value}


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
