"""The pages of presets: a list of all, and one page for each kind of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docs.generator.markdown import block, bullets, code, page, sentence, table
from docs.generator.preset_headers import read_header
from docs.generator.values import written
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import TITLE_BY_FOLDER, Preset, all_presets
from hrdet_cli.specs.yaml_text import parse_yaml

_OF_NAMES = ("name", "description")
_HEADER_ENDS = "\n\n"


@dataclass(frozen=True, slots=True)
class ResolvedPreset:
    """A preset with its values.

    Attributes:
        preset: The file.
        base: The preset it is based on; None where it is based on none.
        description: What it is, in a line.
        values: Each dotted key with its value, its bases' and the defaults too.
        sources: The preset that set it, of each key that is not a default.
    """

    preset: Preset
    base: str | None
    description: str
    values: Mapping[str, Any]
    sources: Mapping[str, str]


def preset_pages() -> dict[str, str]:
    """The text of every page, by its name."""
    presets = {name: _resolve(preset) for name, preset in all_presets().items()}
    pages = {"presets.md": _list_of(presets)}
    for folder, title in TITLE_BY_FOLDER.items():
        parts = [part for name in _names_in(folder, presets) for part in _section(name, presets)]
        pages[f"presets/{folder}.md"] = page(title, _INTRODUCTION, *parts)
    return pages


_INTRODUCTION = (
    "Each preset with what it changes of its base. [All presets](../presets.md) are listed in one place; "
    "`hrdet presets show NAME` prints a file as it is, and `--resolved` with every value. "
    "[Spec: every key](../spec.md) says what the keys mean."
)


def _resolve(preset: Preset) -> ResolvedPreset:
    loaded = load_spec(preset=preset.name)
    return ResolvedPreset(
        preset=preset,
        base=parse_yaml(preset.read(), source=preset.name).get("base"),
        description=loaded.spec.description,
        values=_without_names(loaded.spec.values_by_key()),
        sources=_without_names(loaded.sources),
    )


def _without_names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in _OF_NAMES}


def _names_in(folder: str, presets: Mapping[str, ResolvedPreset]) -> list[str]:
    return [name for name, resolved in presets.items() if resolved.preset.path.parent.name == folder]


def _list_of(presets: Mapping[str, ResolvedPreset]) -> str:
    """The page that has all of them."""
    parts = []
    for folder, title in TITLE_BY_FOLDER.items():
        names = _names_in(folder, presets)
        rows = ([f"[{code(name)}]({_place(name, presets)})", presets[name].description] for name in names)
        parts += [f"## {title}", table(["preset", "what it is"], rows)]
    return page(
        "Presets",
        f"The {len(presets)} specs that come with hrdet. `hrdet train --preset NAME` takes one, "
        "`hrdet presets list mask w32` lists those that have both words, `hrdet presets copy NAME FILE` "
        "makes a file of your own of one. Which to begin with: [recipes](../recipes.md).",
        *parts,
    )


def _place(name: str, presets: Mapping[str, ResolvedPreset]) -> str:
    """Where a preset is described, from ``docs/reference``."""
    return f"presets/{presets[name].preset.path.parent.name}.md#{name}"


def _section(name: str, presets: Mapping[str, ResolvedPreset]) -> Iterator[str]:
    resolved = presets[name]
    header = read_header(resolved.preset.read())
    yield f"## {code(name)}"
    yield sentence(resolved.description)
    yield sentence(header.summary)
    yield block(header.launch)
    yield bullets([*header.changes, *header.remarks])
    yield from _changes(resolved, presets)
    yield from _values(resolved)


def _changes(resolved: ResolvedPreset, presets: Mapping[str, ResolvedPreset]) -> Iterator[str]:
    """What is otherwise than in the base."""
    if resolved.base is None:
        return
    before = presets[resolved.base].values
    changed = [key for key, value in resolved.values.items() if key not in before or before[key] != value]
    yield f"Otherwise than [{code(resolved.base)}](../{_place(resolved.base, presets)}):"
    rows = ([code(key), _before(key, before), code(written(resolved.values[key]))] for key in changed)
    yield table(["key", "there", "here"], rows)


def _before(key: str, values: Mapping[str, Any]) -> str:
    """What a key was; nothing where its section was of another kind, or not there."""
    return code(written(values[key])) if key in values else ""


def _values(resolved: ResolvedPreset) -> Iterator[str]:
    """All that is not a default, folded."""
    rows = (
        [code(key), code(written(resolved.values.get(key, {}))), source.removeprefix("preset ")]
        for key, source in resolved.sources.items()
    )
    yield "\n\n".join(
        [
            '<details markdown="1">',
            f"<summary>All {len(resolved.sources)} values that are no defaults</summary>",
            table(["key", "value", "set by"], rows),
            "</details>",
        ]
    )
