"""What is wrong with a spec that is not valid, in words: which layer set what, and what to write instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hrdet_cli.specs.base import MAX_COUNT, SECTION_KINDS
from hrdet_cli.specs.data import ONE_SET, SEVERAL_SETS
from hrdet_cli.specs.expectations import expected
from hrdet_cli.specs.foreign_names import settings_of_detector
from hrdet_cli.specs.keys import value_at
from hrdet_cli.specs.known_keys import find_field, kind_of, spec_classes
from hrdet_cli.specs.merging import MergedLayers
from hrdet_cli.specs.suggestions import suggest_key
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import command, shortened

_MOST_SHOWN = 100


def describe_problems(error: ValidationError, merged: MergedLayers) -> Iterator[str]:
    """A line for every field at fault, however many of its parts are; our own words go first.

    Args:
        error: What pydantic found.
        merged: The values at fault.
    """
    line_by_key: dict[str, tuple[bool, str]] = {}
    for details in error.errors(include_url=False):
        path = _plain_path(details["loc"], merged.values)
        if details["type"] == "parts":
            for name, what in details["ctx"]["problems"]:
                key = ".".join(map(str, [*path, name]))
                line_by_key[f"{key} {what}"] = (True, _place(key, merged) + what)
            continue
        names = details["ctx"]["keys"] if details["type"] == "values" else [None]
        for name in names:
            key, line = _describe(details, path if name is None else [*path, name], merged)
            is_own = details["type"] == "value_error"
            if key not in line_by_key or (is_own and not line_by_key[key][0]):
                line_by_key[key] = (is_own, line)
    for _, line in line_by_key.values():
        yield line


def _describe(details: ErrorDetails, path: Sequence[int | str], merged: MergedLayers) -> tuple[str, str]:
    """The key of the field at fault, and what is wrong with it."""
    key, kind = ".".join(map(str, path)), details["type"]
    if kind == "extra_forbidden":
        return key, f"{_place(key, merged)}unknown key; {suggest_key(path, merged.values)}"
    section, field = find_field([part for part in path if isinstance(part, str)], merged.values)
    field_path = _with_items(section, path)
    field_key = ".".join(map(str, field_path))
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return field_key, f"{_place(key, merged)}{message}; got {shown(details['input'])}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return field_key, _describe_kind(field_key, details, merged)
    value = value_at(merged.values, field_path)
    if value is None and kind == "missing":
        if len(field_path) > len(section):
            return field_key, f"{_place(field_key, merged)}is needed: {expected(field)}"
        remedy = _remedy(field_key, field, merged)
        return field_key, f"{field_key}: is needed and no layer sets it; {remedy}"
    what = f"must be {expected(field)}; got {shown(value)}{_hint(field_key, field, value)}"
    return field_key, _place(field_key, merged) + what


def _describe_kind(key: str, details: ErrorDetails, merged: MergedLayers) -> str:
    """A section that says not, or wrongly, which of several it is."""
    kind = f"{key}.{details['ctx']['discriminator'].strip(chr(39))}"
    if details["type"] == "union_tag_not_found":
        return f"{kind}: is needed to know what {key} is; add --set {kind}=..."
    given = shown(value_at(merged.values, kind))
    expected_tags = details["ctx"]["expected_tags"]
    if key == "model.head" and (meant := settings_of_detector(given.strip("'"))):
        written = " ".join(command("--set", setting) for setting in meant)
        return f"{_place(kind, merged)}{given} is unknown; write {written}, or choose from {expected_tags}"
    return f"{_place(kind, merged)}{given} is unknown; choose from {expected_tags}"


def _remedy(key: str, field: FieldInfo, merged: MergedLayers) -> str:
    if key == "data.train":
        return "add --train-data JSON IMAGES"
    section = key.rpartition(".")[0]
    if section in merged.replaced_lists:
        num_items, source = merged.replaced_lists[section]
        return (
            f"{section} was a list of {num_items} ({source}), whose items are {section}.0 and so on: "
            f"--set {section}.0.KEY=VALUE"
        )
    return f"add --set {key}=..., {expected(field)}"


def _hint(key: str, field: FieldInfo, value: Any) -> str:
    """How a value is written that was probably meant."""
    if type(value) is int and abs(value) > MAX_COUNT:
        return f"; no number goes beyond {MAX_COUNT}"
    if field.annotation is str and isinstance(value, int | float):
        quoted = f'{key}="{value}"'
        return f"; in quotes it is one: {command('--set', quoted)}"
    members = spec_classes(field.annotation)
    kinds = {tag for member in members if (tag := kind_of(member)) is not None}
    if isinstance(value, str) and value in kinds:
        name = "policy" if key == "padding" else "kind"
        return f"; write --set {key}.{name}={value}"
    is_list_of_numbers = get_origin(field.annotation) is tuple and not (members or key.endswith("_pixels"))
    if isinstance(value, int | float) and is_list_of_numbers and Ellipsis in get_args(field.annotation):
        return f"; write {command('--set', f'{key}=[{shown(value)}]')}"
    if get_origin(field.annotation) is Literal:
        if key == "run.device" and re.fullmatch(r"gpu|cuda:\d+|\d+", str(value)):
            return "; did you mean cuda? Each process takes one; CUDA_VISIBLE_DEVICES says which there are"
        near = get_close_matches(str(value), map(str, get_args(field.annotation)), n=1, cutoff=0.5)
        return f"; did you mean {near[0]}?" if near else ""
    is_pair = isinstance(value, list) and len(value) == 2 and all(type(edge) is int for edge in value)
    if is_pair and key.endswith("scales_pixels"):
        return f"; write {command('--set', f'{key}=[{shown(value)}]')}"
    return ""


def _with_items(keys: Sequence[str], path: Sequence[int | str]) -> list[int | str]:
    """The part of a path that leads to a field, with the numbers of the items of lists on the way."""
    ends = [place for place, part in enumerate(path, 1) if isinstance(part, str)]
    return list(path[: ends[len(keys) - 1]])


def _place(key: str, merged: MergedLayers) -> str:
    """``source: key: `` for a key, or for the nearest key above or below it that a layer set."""
    label = f"{shortened(key, _MOST_SHOWN)}: "
    for known, source in merged.sources.items():
        if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
            return f"{source}: {label}"
    return label


def _plain_path(location: Sequence[int | str], values: Any) -> list[int | str]:
    """A pydantic location without the union tags that pydantic puts between the keys."""
    path: list[int | str] = []
    for part in location:
        if part in (ONE_SET, SEVERAL_SETS):
            continue
        if isinstance(values, Mapping) and part not in values:
            if any(values.get(kind) == part for kind in SECTION_KINDS):
                continue
            values = None
        elif isinstance(values, Mapping):
            values = values[part]
        elif isinstance(values, Sequence) and not isinstance(values, str) and isinstance(part, int):
            values = values[part] if part < len(values) else None
        path.append(part)
    return path
