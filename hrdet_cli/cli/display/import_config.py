"""What became of the keys of a configuration, line by line."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from hrdet_cli.runs.import_config import ImportedConfig
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.mmdetection.account import Outcome, Status
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import command, counted

_TITLES: Mapping[Status, str] = MappingProxyType(
    {
        "taken": "taken: the spec says it",
        "default": "default: hrdet does so anyway",
        "no counterpart": "no counterpart: not in the spec, where hrdet's defaults stand",
    }
)
_INDEX = re.compile(r"\[\d+\]")
_TOP = "at the top"
_INDENT, _GAP = 2, 2
_SHARE_OF_THEIRS = 0.4


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Lines of two columns; what is too long for the first one has a line for itself."""

    lines: Sequence[tuple[str, str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        longest = max((len(theirs) for theirs, _ in self.lines), default=0)
        column = min(longest, int(_SHARE_OF_THEIRS * options.max_width)) + _INDENT + _GAP
        for theirs, ours in self.lines:
            right = Text(ours).wrap(console, options.max_width - column)
            if len(theirs) + _INDENT + _GAP > column:
                yield Padding(Text(theirs), (0, 0, 0, _INDENT))
                theirs = ""
            for line in right or [Text()]:
                yield Text.assemble(" " * _INDENT, theirs.ljust(column - _INDENT), line, no_wrap=True)
                theirs = ""


def draw_import(imported: ImportedConfig) -> RenderableType:
    """Every key under what became of it, what mmdetection has without a key, and what to do next."""
    return Group(*_parts(imported))


def _parts(imported: ImportedConfig) -> Iterator[RenderableType]:
    read = counted(len(imported.files), "file")
    yield Text(f"{imported.config}: mmdetection {imported.generation}, {read} read")
    for status, title in _TITLES.items():
        outcomes = [outcome for outcome in imported.outcomes if outcome.status == status]
        if outcomes:
            yield Text()
            yield Text(f"{title} ({counted(sum(len(o.leaves) for o in outcomes), 'key')})", style="bold")
            yield _Pairs([*(_by_section(outcomes) if status == "default" else _by_key(outcomes))])
    if imported.implied:
        yield Text()
        yield Text(f"without a key in mmdetection {imported.generation}", style="bold")
        implied = (pair for name, section in imported.implied.items() for pair in leaves(section, name))
        yield Padding(Text("\n".join(_with_value(*pair) for pair in implied)), (0, 0, 0, _INDENT))
    yield Text()
    yield Text(f"wrote {imported.spec_file}, based on the preset {imported.base}; next:")
    dry_run = command("hrdet", "train", "--spec", imported.spec_file, "--dry-run")
    yield Padding(Text(dry_run), (0, 0, 0, _INDENT))


def _with_value(key: str, value: Any) -> str:
    """A key and what it says; of a list of sections, such as stages, the key alone."""
    has_sections = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return key if has_sections else f"{key} {shown(value)}"


def _theirs(key: str, value: Any) -> str:
    return key if value is None else _with_value(key, value)


def _by_key(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    """A line for each key; those of several stages that say the same in one, names of its own in the last."""
    names = [outcome.written for outcome in outcomes if outcome.is_name]
    lines = [
        (outcome.written, "" if outcome.value is None else f" {shown(outcome.value)}", _ours(outcome))
        for outcome in outcomes
        if not outcome.is_name
    ]
    count = Counter((_INDEX.sub("[]", key), *rest) for key, *rest in lines)
    merged = (
        (f"{any_stage if count[any_stage, value, ours] > 1 else key}{value}", ours)
        for key, value, ours in lines
        for any_stage in [_INDEX.sub("[]", key)]
    )
    yield from dict.fromkeys(merged)
    if names:
        yield "names of its own", f"stand in other keys: {', '.join(names)}"


def _ours(outcome: Outcome) -> str:
    return "; ".join(_with_value(*pair) for pair in outcome.ours.items()) or outcome.why


def _by_section(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, str]]:
    """The keys of a section in one line, with their values; stages that say the same in one."""
    values_by_section: dict[str, list[str]] = {}
    for outcome in outcomes:
        section, _, name = outcome.written.rpartition(".")
        values_by_section.setdefault(section or _TOP, []).append(_theirs(name, outcome.value))
    lines = {section: ", ".join(dict.fromkeys(values)) for section, values in values_by_section.items()}
    count = Counter((_INDEX.sub("[]", section), values) for section, values in lines.items())
    merged = (
        (any_stage if count[any_stage, values] > 1 else section, values)
        for section, values in lines.items()
        for any_stage in [_INDEX.sub("[]", section)]
    )
    yield from dict.fromkeys(merged)
