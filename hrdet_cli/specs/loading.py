"""From preset, file and command line to a validated spec, or to every problem at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import (
    SECTION_KINDS,
    Layer,
    Layered,
    preset_layers,
    setting_layers,
    spec_file_layers,
)
from hrdet_cli.specs.yaml_text import format_yaml


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A validated spec and where its values come from.

    Attributes:
        spec: The experiment.
        sources: For each dotted key that is not a default, the layer that set it.
    """

    spec: ExperimentSpec
    sources: Mapping[str, str]


def load_spec(
    *,
    preset: str | None = None,
    spec_file: Path | None = None,
    extra_layers: Sequence[Layer] = (),
    settings: Sequence[str] = (),
) -> LoadedSpec:
    """Put an experiment together and validate it.

    Args:
        preset: Name of a preset; exactly one of it and ``spec_file`` is needed.
        spec_file: A YAML file of one's own, which may name a preset as its ``base:``.
        extra_layers: Layers above the preset or file, such as options that stand for several keys.
        settings: ``key=value`` texts, the topmost layers, in their order.

    Raises:
        SpecError: With every problem found, each naming its source and key.
    """
    if (preset is None) == (spec_file is None):
        raise SpecError(["give one of --preset NAME and --spec FILE; `hrdet presets list` shows the presets"])
    layers = preset_layers(preset) if preset is not None else spec_file_layers(Path(spec_file or ""))
    return validate_layers([*layers, *extra_layers, *setting_layers(settings)])


def validate_layers(layers: Sequence[Layer]) -> LoadedSpec:
    """Merge layers, lowest first, and validate the result.

    Raises:
        SpecError: With every problem found.
    """
    layered = Layered()
    for layer in layers:
        layered.add(layer)
    try:
        spec = ExperimentSpec.model_validate(layered.values)
    except ValidationError as error:
        problems = [line for details in error.errors() for line in _describe(details, layered)]
        raise SpecError(problems) from error
    changed = {key: source for key, source in layered.sources.items() if not _is_default(key, spec)}
    return LoadedSpec(spec, changed)


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
        section = getattr(section, part)
    field = type(section).model_fields[name]
    return not field.is_required() and getattr(section, name) == field.get_default()


def _describe(details: ErrorDetails, layered: Layered) -> list[str]:
    path = _plain_path(details["loc"], layered.values)
    if details["type"] == "parts":
        keys = [(".".join(map(str, [*path, key])), what) for key, what in details["ctx"]["problems"]]
        return [_place(key, layered) + what for key, what in keys]
    key = ".".join(map(str, path))
    if details["type"] == "extra_forbidden":
        return [f"{_place(key, layered)}unknown key; {_suggest(path, layered.values)}"]
    if details["type"] == "missing":
        return [f"{key}: is needed and no layer sets it; add --set {key}=..."]
    if details["type"] == "union_tag_not_found":
        kind = f"{key}.{details['ctx']['discriminator'].strip(chr(39))}"
        return [f"{kind}: is needed to know what {key} is; add --set {kind}=..."]
    if details["type"] == "union_tag_invalid":
        context = details["ctx"]
        kind = f"{key}.{context['discriminator'].strip(chr(39))}"
        return [
            f"{_place(kind, layered)}{context['tag']!r} is unknown; choose from {context['expected_tags']}"
        ]
    message = details["msg"].removeprefix("Value error, ")
    return [f"{_place(key, layered)}{message}; got {details['input']!r:.100}"]


def _place(key: str, layered: Layered) -> str:
    """``source: key: `` for a key, or for the nearest key above or below it that a layer set."""
    for known, source in layered.sources.items():
        if known == key or known.startswith(f"{key}.") or key.startswith(f"{known}."):
            return f"{source}: {key}: "
    return f"{key}: "


def _plain_path(location: Sequence[int | str], values: Any) -> list[int | str]:
    """A pydantic location without the union tags that pydantic puts between the keys."""
    path: list[int | str] = []
    for part in location:
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


def _suggest(path: Sequence[int | str], values: Any) -> str:
    """What an unknown key may have meant: a near key of its section, or of any other."""
    *section, key = (str(part) for part in path)
    keys = list(_section_class(section, values).model_fields)
    near = get_close_matches(str(key), keys, n=1, cutoff=0.6)
    if near:
        return f"did you mean {'.'.join([*section, near[0]])}?"
    return f"{'.'.join(section) or 'a spec'} has: {', '.join(keys)}"


def _section_class(section: Sequence[str], values: Any) -> type[BaseModel]:
    """The spec class behind a path of keys, the union's member chosen by its kind."""
    current: type[BaseModel] = ExperimentSpec
    for key in section:
        values = values.get(key, {}) if isinstance(values, Mapping) else {}
        candidates = _spec_classes(current.model_fields[key].annotation)
        kinds = {values.get(kind) for kind in SECTION_KINDS}
        chosen = [member for member in candidates if _tag(member) in kinds]
        current = (chosen or candidates)[0]
    return current


def _spec_classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _spec_classes(argument)]


def _tag(spec_class: type[BaseModel]) -> Any:
    for kind in SECTION_KINDS:
        if kind in spec_class.model_fields:
            return get_args(spec_class.model_fields[kind].annotation)[0]
    return None
