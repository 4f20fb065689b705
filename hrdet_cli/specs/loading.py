"""From preset, file and command line to a validated spec, or to every problem at once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.base import MAX_COUNT
from hrdet_cli.specs.data import ONE_SET, SEVERAL_SETS
from hrdet_cli.specs.expectations import expected
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.foreign_names import settings_of_detector
from hrdet_cli.specs.from_scratch import from_scratch_layer
from hrdet_cli.specs.keys import value_at
from hrdet_cli.specs.known_keys import find_field, kind_of, spec_classes, suggest_key
from hrdet_cli.specs.layers import (
    SECTION_KINDS,
    Layer,
    Layered,
    is_asked_for,
    preset_layers,
    setting_layers,
    spec_file_layers,
)
from hrdet_cli.specs.yaml_text import format_yaml, shown
from hrdet_cli.wording import command, shortened

_MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A validated spec and where its values come from.

    Attributes:
        spec: The experiment.
        sources: For each dotted key that is not a default, the layer that set it.
        notes: What the layers may not have meant, a sentence each.
    """

    spec: ExperimentSpec
    sources: Mapping[str, str]
    notes: tuple[str, ...] = ()


def load_spec(
    *,
    preset: str | None = None,
    spec_file: Path | None = None,
    extra_layers: Sequence[Layer] = (),
    settings: Sequence[str] = (),
    from_scratch: bool = False,
) -> LoadedSpec:
    """Put an experiment together and validate it.

    Args:
        preset: Name of a preset; exactly one of it and ``spec_file`` is needed.
        spec_file: A YAML file of one's own, which may name a preset as its ``base:``.
        extra_layers: Layers above the preset or file, such as options that stand for several keys.
        settings: ``key=value`` texts, the topmost layers, in their order.
        from_scratch: Change what needs trained weights, so that random ones are trained.

    Raises:
        SpecError: With every problem found, each naming its source and key.
    """
    if (preset is None) == (spec_file is None):
        raise SpecError(["give one of --preset NAME and --spec FILE; `hrdet presets list` shows the presets"])
    layers = preset_layers(preset) if preset is not None else spec_file_layers(Path(spec_file or ""))
    layers = [*layers, *extra_layers, *setting_layers(settings)]
    return validate_layers(layers, from_scratch=from_scratch)


def validate_layers(layers: Sequence[Layer], *, from_scratch: bool = False) -> LoadedSpec:
    """Merge layers, lowest first, and validate the result.

    Args:
        layers: The lowest first.
        from_scratch: As of `load_spec`.

    Raises:
        SpecError: With every problem found.
    """
    layered = Layered()
    for layer in layers:
        layered.add(layer)
    _let_own_warmup_be(layered)
    if from_scratch:
        layered.add(from_scratch_layer(layered))
    try:
        spec = ExperimentSpec.model_validate(layered.values)
    except ValidationError as error:
        raise SpecError(list(_problems(error, layered))) from error
    changed = {key: source for key, source in layered.sources.items() if not _is_default(key, spec)}
    return LoadedSpec(spec, changed, tuple(dict.fromkeys(_notes(layered, changed))))


def _let_own_warmup_be(layered: Layered) -> None:
    """A warm-up that somebody asks for is not cut to the share that a preset has for its own."""
    source = layered.sources.get("optimisation.warmup_steps", "preset ")
    share_source = layered.sources.get("optimisation.max_warmup_share", "")
    if share_source.startswith("preset ") and not source.startswith("preset "):
        layered.add(Layer(source, {"optimisation": {"max_warmup_share": None}}))


def _notes(layered: Layered, changed: Mapping[str, str]) -> Iterator[str]:
    """Values of a section that stay though a layer names the section's kind again."""
    for kept in layered.kept:
        staying = {
            key: source
            for key, source in changed.items()
            if key.startswith(f"{kept.section}.")
            and key.removeprefix(f"{kept.section}.").partition(".")[0] not in kept.named
            and source != kept.layer
            and not is_asked_for(source)
        }
        for key, source in staying.items():
            value = shown(value_at(layered.values, key))
            yield (
                f"{kept.layer}: {kept.section} was of this kind already, so {key}={value} of {source} stays; "
                f"--set {key}=... changes it"
            )


def format_spec(spec: ExperimentSpec) -> str:
    """The whole spec as YAML that ``--spec`` reads back, paths made absolute."""
    values = spec.model_dump(mode="json")
    values["data"]["root"] = str(spec.data.root.absolute())
    if spec.model.weights is not None and Path(spec.model.weights).is_file():
        values["model"]["weights"] = str(Path(spec.model.weights).absolute())
    return format_yaml(values)


def _is_default(key: str, spec: ExperimentSpec) -> bool:
    """Whether a leaf has the value it would have without any layer."""
    *sections, name = key.split(".")
    section: Any = spec
    for part in sections:
        section = section[int(part)] if isinstance(section, tuple) else getattr(section, part)
    field = type(section).model_fields[name]
    return not field.is_required() and getattr(section, name) == field.get_default()


def _problems(error: ValidationError, layered: Layered) -> Iterator[str]:
    """A line for every field at fault, however many of its parts are; our own words go first."""
    line_by_key: dict[str, tuple[bool, str]] = {}
    for details in error.errors(include_url=False):
        path = _plain_path(details["loc"], layered.values)
        if details["type"] == "parts":
            for name, what in details["ctx"]["problems"]:
                key = ".".join(map(str, [*path, name]))
                line_by_key[f"{key} {what}"] = (True, _place(key, layered) + what)
            continue
        names = details["ctx"]["keys"] if details["type"] == "values" else [None]
        for name in names:
            key, line = _describe(details, path if name is None else [*path, name], layered)
            is_own = details["type"] == "value_error"
            if key not in line_by_key or (is_own and not line_by_key[key][0]):
                line_by_key[key] = (is_own, line)
    for _, line in line_by_key.values():
        yield line


def _describe(details: ErrorDetails, path: Sequence[int | str], layered: Layered) -> tuple[str, str]:
    """The key of the field at fault, and what is wrong with it."""
    key, kind = ".".join(map(str, path)), details["type"]
    if kind == "extra_forbidden":
        return key, f"{_place(key, layered)}unknown key; {suggest_key(path, layered.values)}"
    section, field = find_field([part for part in path if isinstance(part, str)], layered.values)
    field_path = _with_items(section, path)
    field_key = ".".join(map(str, field_path))
    if kind == "value_error":
        message = details["msg"].removeprefix("Value error, ")
        return field_key, f"{_place(key, layered)}{message}; got {shown(details['input'])}"
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return field_key, _describe_kind(field_key, details, layered)
    value = value_at(layered.values, field_path)
    if value is None and kind == "missing":
        if len(field_path) > len(section):
            return field_key, f"{_place(field_key, layered)}is needed: {expected(field)}"
        remedy = _remedy(field_key, field, layered)
        return field_key, f"{field_key}: is needed and no layer sets it; {remedy}"
    what = f"must be {expected(field)}; got {shown(value)}{_hint(field_key, field, value)}"
    return field_key, _place(field_key, layered) + what


def _describe_kind(key: str, details: ErrorDetails, layered: Layered) -> str:
    """A section that says not, or wrongly, which of several it is."""
    kind = f"{key}.{details['ctx']['discriminator'].strip(chr(39))}"
    if details["type"] == "union_tag_not_found":
        return f"{kind}: is needed to know what {key} is; add --set {kind}=..."
    given = shown(value_at(layered.values, kind))
    expected_tags = details["ctx"]["expected_tags"]
    if key == "model.head" and (meant := settings_of_detector(given.strip("'"))):
        written = " ".join(command("--set", setting) for setting in meant)
        return f"{_place(kind, layered)}{given} is unknown; write {written}, or choose from {expected_tags}"
    return f"{_place(kind, layered)}{given} is unknown; choose from {expected_tags}"


def _remedy(key: str, field: FieldInfo, layered: Layered) -> str:
    if key == "data.train":
        return "add --train-data JSON IMAGES"
    section = key.rpartition(".")[0]
    if section in layered.replaced_lists:
        num_items, source = layered.replaced_lists[section]
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


def _place(key: str, layered: Layered) -> str:
    """``source: key: `` for a key, or for the nearest key above or below it that a layer set."""
    label = f"{shortened(key, _MOST_SHOWN)}: "
    for known, source in layered.sources.items():
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
