"""From a configuration of mmdetection to a spec, with what became of each of its keys."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.mmdetection.account import Outcome
from hrdet_cli.specs.mmdetection.backbones import BACKBONES
from hrdet_cli.specs.mmdetection.cascades import CASCADE, HYBRID
from hrdet_cli.specs.mmdetection.config_file import ConfigFile
from hrdet_cli.specs.mmdetection.conventions import conventions
from hrdet_cli.specs.mmdetection.data import DATA
from hrdet_cli.specs.mmdetection.dialects import Generation, entries_of, generation_of
from hrdet_cli.specs.mmdetection.engine import apply_rules
from hrdet_cli.specs.mmdetection.heads import FCOS, RETINANET, RPN
from hrdet_cli.specs.mmdetection.known_config import KnownConfig
from hrdet_cli.specs.mmdetection.necks import NECKS
from hrdet_cli.specs.mmdetection.pictures import TRAINING_PICTURES
from hrdet_cli.specs.mmdetection.regions import FASTER
from hrdet_cli.specs.mmdetection.rules import Group, follows
from hrdet_cli.specs.mmdetection.training import TRAINING

GROUPS_BY_DETECTOR: Mapping[str, tuple[Group, ...]] = MappingProxyType(
    {
        "FasterRCNN": (*RPN, *FASTER),
        "MaskRCNN": (*RPN, *FASTER),
        "CascadeRCNN": (*RPN, *CASCADE),
        "HybridTaskCascade": (*RPN, *HYBRID),
        "RetinaNet": RETINANET,
        "FCOS": FCOS,
        "RPN": (Group("model", ("RPN",), (), gives={"model.head.kind": "rpn"}), *RPN),
    }
)
"""The rules of each kind of detector, by the model's type."""
_EVERY_DETECTOR = (
    Group("", (), follows("model.type", why="the kind of detector")),
    *TRAINING_PICTURES,
    *DATA,
    *TRAINING,
)
ALL_GROUPS = (
    *BACKBONES,
    *NECKS,
    *(group for groups in GROUPS_BY_DETECTOR.values() for group in groups),
    *_EVERY_DETECTOR,
)
"""Every rule that there is."""
_NAMES = (
    "model data train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg optimizer "
    "optimizer_config optim_wrapper param_scheduler lr_config runner total_epochs evaluation "
    "val_evaluator test_evaluator checkpoint_config log_config log_level load_from resume "
    "resume_from auto_resume workflow dist_params work_dir custom_hooks default_hooks env_cfg "
    "vis_backends visualizer log_processor default_scope auto_scale_lr custom_imports randomness "
    "launcher tta_model tta_pipeline cudnn_benchmark find_unused_parameters seed deterministic "
    "gpu_ids mp_start_method opencv_num_threads plugin "
)
ENTRY_POINTS = frozenset(_NAMES.split())
"""Names that mmdetection itself looks for; others are a configuration's own."""
_PARTS: Mapping[str, str] = {
    "model.backbone": "model.backbone.kind",
    "model.neck": "model.neck.channels",
    "the model's head": "model.head.kind",
}
"""What no model is without, and a key of ours that its rules set."""
_WEIGHTS = "model.weights"
_STANDS_IN_OTHERS = "stands in other keys"
_NO_WEIGHTS = (
    "names no weights that hrdet can fetch, and statistics of norms or frozen stages would stay random; give "
    "some behind the config, of a backbone or a detector: imagenet:hrnetv2_w18, torchvision:resnet50, a file"
)


@dataclass(frozen=True, slots=True)
class Translation:
    """A configuration as a spec.

    Attributes:
        generation: The version of mmdetection.
        spec: The experiment.
        outcomes: What became of every key.
        implied: Values that no key says, but that mmdetection has: by our dotted keys.
        num_classes: Without the background; None where the configuration does not say it.
    """

    generation: Generation
    spec: ExperimentSpec
    outcomes: tuple[Outcome, ...]
    implied: Mapping[str, Any]
    num_classes: int | None


def translate(config: ConfigFile, *, weights: str | None = None) -> Translation:
    """Make a spec of a configuration.

    Args:
        config: What was read.
        weights: What the spec shall start from in place of what the configuration names.

    Raises:
        SpecError: hrdet has no such network, there are no weights where some would stay as they are, or the
            values make no valid spec.
    """
    model = config.values.get("model")
    kind = str(model.get("type")) if isinstance(model, dict) else None
    if kind is None or kind not in GROUPS_BY_DETECTOR:
        known_kinds = ", ".join(GROUPS_BY_DETECTOR)
        what = "has no model" if kind is None else f"model.type is {kind}"
        raise SpecError([f"{config.path}: {what}; hrdet has {known_kinds}"])
    generation = generation_of(config.values)
    helpers = frozenset(config.used) - ENTRY_POINTS
    entries = entries_of(config, frozenset(config.values) - helpers)
    known = KnownConfig(entries, generation, names=config.values)
    try:
        applied = apply_rules((*BACKBONES, *NECKS, *GROUPS_BY_DETECTOR[kind], *_EVERY_DETECTOR), known)
    except SpecError as error:
        raise SpecError([f"{config.path}: {problem}" for problem in error.problems]) from error
    for part, key in _PARTS.items():
        if key not in applied.values:
            raise SpecError([f"{config.path}: {part} is missing, or has no type"])
    values, implied = dict(applied.values), dict(applied.implied)
    for key, value in conventions(values, known):
        values[key] = implied[key] = value
    if weights is not None:
        values[_WEIGHTS] = weights
    if _WEIGHTS not in values and _keeps_weights(values):
        raise SpecError([f"{config.path}: {_NO_WEIGHTS}"])
    values["name"] = _name_of(config.path.stem)
    values["description"] = f"{config.path.name}, from mmdetection {generation}"
    spec = validate_layers([Layer(str(config.path), _nested(values))]).spec
    outcomes = [_judged(outcome, spec, weights=weights) for outcome in applied.outcomes]
    outcomes += [
        Outcome(name, None, "taken", (name,), why=_STANDS_IN_OTHERS, is_name=True)
        for name in sorted(helpers & config.values.keys())
    ]
    shown_implied = {key: value for key, value in implied.items() if not _is_default(key, spec)}
    return Translation(generation, spec, tuple(outcomes), shown_implied, _num_classes(known, generation))


def _keeps_weights(values: Mapping[str, Any]) -> bool:
    """Whether something of the weights stays as it is."""
    norm = values.get("norm", {})
    return bool(
        values.get("model.backbone.frozen_stages") or norm.get("keep_statistics") or norm["kind"] == "frozen"
    )


def _is_default(key: str, spec: ExperimentSpec) -> bool:
    """Whether a value, or a whole section, is what a spec has that does not name it."""
    *sections, name = key.split(".")
    section: Any = spec
    for part in sections:
        section = getattr(section, part)
    known = type(section).model_fields[name]
    return not known.is_required() and bool(getattr(section, name) == known.get_default())


def _judged(outcome: Outcome, spec: ExperimentSpec, *, weights: str | None) -> Outcome:
    """An outcome that knows whether hrdet does so anyway, and what was given in place of its weights."""
    if weights is not None and _WEIGHTS in outcome.ours:
        return replace(outcome, status="no counterpart", ours={}, why=f"{weights} was given in its place")
    if outcome.status == "taken" and all(_is_default(key, spec) for key in outcome.ours):
        return replace(outcome, status="default")
    return outcome


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted keys as sections; a section's own value comes before those in it."""
    nested: dict[str, Any] = {}
    for key in sorted(values, key=lambda key: key.count(".")):
        *sections, name = key.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        value = values[key]
        place[name] = dict(value) if isinstance(value, dict) else value
    return nested


def _name_of(stem: str) -> str:
    """A file's name as that of an experiment."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:200] or "imported"


def _num_classes(known: KnownConfig, generation: Generation) -> int | None:
    counts = {count for count in _counts(known) if isinstance(count, int)}
    if len(counts) != 1:
        return None
    has_background = generation == 1
    return counts.pop() - has_background


def _counts(known: KnownConfig) -> Iterator[Any]:
    yield from known.get("model.roi_head.bbox_head[].num_classes") or []
    yield known.get("model.bbox_head.num_classes")
