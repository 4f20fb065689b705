"""From preset, file and command line to a validated spec, or to every problem at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.from_scratch import from_scratch_layer
from hrdet_cli.specs.keys import value_at
from hrdet_cli.specs.layers import (
    Layer,
    is_asked_for,
    preset_layers,
    setting_layers,
    spec_file_layers,
)
from hrdet_cli.specs.merging import MergedLayers
from hrdet_cli.specs.problems import describe_problems
from hrdet_cli.specs.yaml_text import format_yaml, shown


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
    merged = MergedLayers()
    for layer in layers:
        merged.add(layer)
    _let_own_warmup_be(merged)
    if from_scratch:
        merged.add(from_scratch_layer(merged))
    try:
        spec = ExperimentSpec.model_validate(merged.values)
    except ValidationError as error:
        raise SpecError(list(describe_problems(error, merged))) from error
    changed = {key: source for key, source in merged.sources.items() if not _is_default(key, spec)}
    return LoadedSpec(spec, changed, tuple(dict.fromkeys(_notes(merged, changed))))


def _let_own_warmup_be(merged: MergedLayers) -> None:
    """A warm-up that somebody asks for is not cut to the share that a preset has for its own."""
    source = merged.sources.get("optimisation.warmup_steps", "preset ")
    share_source = merged.sources.get("optimisation.max_warmup_share", "")
    if share_source.startswith("preset ") and not source.startswith("preset "):
        merged.add(Layer(source, {"optimisation": {"max_warmup_share": None}}))


def _notes(merged: MergedLayers, changed: Mapping[str, str]) -> Iterator[str]:
    """Values of a section that stay though a layer names the section's kind again."""
    for kept in merged.kept:
        staying = {
            key: source
            for key, source in changed.items()
            if key.startswith(f"{kept.section}.")
            and key.removeprefix(f"{kept.section}.").partition(".")[0] not in kept.named
            and source != kept.layer
            and not is_asked_for(source)
        }
        for key, source in staying.items():
            value = shown(value_at(merged.values, key))
            yield (
                f"{kept.layer}: {kept.section} was of this kind already, so {key}={value} of {source} stays; "
                f"--set {key}=... changes it"
            )


def with_settings(spec: ExperimentSpec, settings: Sequence[str]) -> ExperimentSpec:
    """A spec with other values, each as ``key=value``; the same without any.

    Raises:
        SpecError: A setting is not valid.
    """
    if not settings:
        return spec
    layer = Layer("the spec", spec.model_dump(mode="json"))
    return validate_layers([layer, *setting_layers(settings)]).spec


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
