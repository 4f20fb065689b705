"""Going on with a run: with its own spec, on its own data."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hrdet_cli.engine.training.checkpoint import newest_valid
from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.errors import DataError, SpecError, WeightsError
from hrdet_cli.runs.best_by import BestBy
from hrdet_cli.runs.experiment import OF_RUN
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.base import SECTION_KINDS
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import is_within, leaves, value_at
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import LoadedSpec, format_spec, validate_layers
from hrdet_cli.specs.merging import MergedLayers
from hrdet_cli.specs.spec_text import parse_spec
from hrdet_cli.specs.yaml_text import parse_yaml, shown
from hrdet_cli.wording import counted

_NUM_EPOCHS = "optimisation.num_epochs"
MAY_CHANGE = (
    "data.batch_size_per_process",
    "data.broken_pictures",
    "data.demo",
    "data.num_workers",
    "data.root",
    "data.train",
    "data.val",
    "evaluation",
    _NUM_EPOCHS,
    "run.checkpoint_every_epochs",
    "run.checkpoint_every_minutes",
    "run.compile",
    "run.device",
    "run.log_every_steps",
    "run.num_epoch_checkpoints",
    "run.num_pictured_batches",
    "run.trackers",
)
"""Keys that a resumed run may change: none decides what a step computes, but for another rounding.

Data may have moved; that it is the same is told by its fingerprint.  With another number of processes the
pictures of a process may change so that a step has as many as before.  The number of epochs may change
where `can_train_longer`.
"""
_WHY_LENGTH_STAYS = "with optimisation.schedule.kind=cosine it decides the rate of every step; "


def mend_spec(folder: RunFolder) -> str | None:
    """Write ``spec.yaml`` again from the newest checkpoint that is whole, where it is missing or damaged.

    A spec that lacks keys which the checkpoint's copy has was cut off; values may be other ones.

    Returns:
        What was done, in words; None where nothing was to do, or no checkpoint has a copy.

    Raises:
        OutputError: There is no run in the folder, or the file cannot be written.
    """
    folder.require()
    values = _parse_spec(folder.read_spec())
    if _is_whole(values):
        return None
    try:
        path, state, _ = newest_valid(folder.checkpoints_newest_first())
    except WeightsError:
        return None
    text = str(state.get("spec", ""))
    if _keys_of(_parse_spec(text)) <= _keys_of(values):  # that of an older hrdet, which had fewer keys
        return None
    folder.write_spec(text)
    return f"{folder.spec_file}: was missing or damaged, and was written again from {path}"


def _is_whole(values: dict[str, Any]) -> bool:
    """Whether values are a valid spec that names every key a run writes."""
    try:
        spec = validate_layers([Layer("the saved spec", values)]).spec
    except SpecError:
        return False
    return _keys_of(_parse_spec(format_spec(spec))) <= _keys_of(values)


def _keys_of(values: dict[str, Any]) -> set[str]:
    return {key for key, _ in leaves(values)}


def _parse_spec(text: str) -> dict[str, Any]:
    """The values of a saved spec, by the names that keys have now; none where the text is no spec."""
    merged = MergedLayers()
    try:
        merged.add(Layer("the saved spec", parse_spec(text, source="the saved spec")))
    except SpecError:
        return {}
    return merged.values


def check_same_spec(spec: ExperimentSpec, saved: str, *, file: Path) -> None:
    """The spec must be the one the run began with, but for what may change.

    Of a section that would become something else, only that is told.

    Args:
        spec: To go on with.
        saved: The text of the run's own spec, or what is left of it.
        file: Where it was saved.

    Raises:
        SpecError: Something would change that a resumed run must keep.
    """
    wanted = parse_yaml(format_spec(spec), source="the resumed spec")
    changed = {key: had for key, had in leaves(_parse_spec(saved)) if value_at(wanted, key) != had}
    kinds = [key for key in changed if key.rpartition(".")[2] in SECTION_KINDS]
    of_another_kind = [f"{key.rpartition('.')[0]}." for key in kinds]
    may_change = [key for key in MAY_CHANGE if key != _NUM_EPOCHS or can_train_longer(spec)]
    problems = [
        f"{key}: is {shown(had)} in {file}, but {shown(value_at(wanted, key))} was asked for; "
        f"{_WHY_LENGTH_STAYS if key == _NUM_EPOCHS else ''}"
        "a resumed run keeps it, so leave it or start a new run with another --run-dir"
        for key, had in changed.items()
        if not is_within(key, may_change) and (key in kinds or not key.startswith(tuple(of_another_kind)))
    ]
    if problems:
        raise SpecError(problems)


def can_train_longer(spec: ExperimentSpec) -> bool:
    """Whether a run of this spec may get more epochs: not where its length decides the rate of every step."""
    return spec.optimisation.schedule.kind != "cosine"


def keys_since(saved: str, spec: ExperimentSpec) -> tuple[str, ...]:
    """Keys that the hrdet which saved a spec did not have; none where the text is no spec."""
    known, wanted = _keys_of(_parse_spec(saved)), _keys_of(_parse_spec(format_spec(spec)))
    new = [
        key for key in sorted(wanted) if not any(is_within(key, [k]) or is_within(k, [key]) for k in known)
    ]
    return tuple(new) if known else ()


def as_begun(spec: ExperimentSpec, keys: Sequence[str]) -> ExperimentSpec:
    """A spec with the defaults of keys that its run was begun without, so that it goes on as it was."""
    values = _parse_spec(format_spec(spec))
    for key in keys:
        *sections, name = key.split(".")
        section = value_at(values, sections)
        if isinstance(section, dict):
            section.pop(name, None)
    return validate_layers([Layer("the resumed spec", values)]).spec


def saved_batch_size(folder: RunFolder) -> int | None:
    """Pictures in each process's step of the run in a folder; None where its spec does not say."""
    found = value_at(_parse_spec(folder.read_spec()), "data.batch_size_per_process")
    return found if type(found) is int else None


def saved_anchors(spec: ExperimentSpec, folder: RunFolder) -> tuple[str, ...]:
    """Settings of the anchors that were found for the run in a folder; none where the spec asks for none."""
    section = spec.model.head.anchors
    if section is None or not section.spec.is_to_be_found:
        return ()
    values = _parse_spec(folder.read_spec())
    keys = [f"{section.key}.anchor_scale", f"{section.key}.anchor_aspect_ratios"]
    return tuple(f"{key}={found}" for key in keys if (found := value_at(values, key)) is not None)


def saved_weights(loaded: LoadedSpec, folder: RunFolder) -> tuple[str, ...]:
    """The setting of the weights that the run in a folder began with, if the same are asked for.

    The words that named them may mean another file by now, or none: a run folder has got a better checkpoint,
    or a file is gone.
    """
    asked = loaded.spec.model.weights
    had = value_at(_parse_spec(folder.read_spec()), "model.weights")
    if asked is None or not isinstance(had, str) or is_weights_name(asked) or is_weights_name(had):
        return ()
    place = Path(asked).absolute()
    run = place
    if loaded.sources.get("model.weights") == OF_RUN:
        run = place.parent.parent if place.parent.name == "checkpoints" else place.parent
    is_same = Path(had) in (place, *RunFolder(run).places_of_weights())
    return (f"model.weights={json.dumps(had, ensure_ascii=False)}",) if is_same else ()


def saved_best_by(state: Mapping[str, Any]) -> BestBy | None:
    """What decided which checkpoint is the best when one was saved; None where nothing says so."""
    if "best_by" in state:
        return cast("BestBy", state["best_by"])
    values = _parse_spec(str(state.get("spec", "")))
    try:
        best_by = validate_layers([Layer("the saved spec", values)]).spec.best_by
    except SpecError:
        return None
    return "box" if best_by == "recall" and "best_recall" not in state else best_by


def record_at(state: Mapping[str, Any], record: RunRecord) -> RunRecord:
    """The record that a checkpoint carries, or else its run's, which may have launches that saved nothing."""
    return RunRecord.parse(state["record"]) if "record" in state else record


def with_warmup(state: Mapping[str, Any], record: RunRecord) -> Mapping[str, Any]:
    """A checkpoint that says how long its run warmed up.

    Args:
        state: The checkpoint; those of older versions do not say it.
        record: What `record_at` gives for it.
    """
    num_steps = record.warmup_steps()
    return state if num_steps is None else {"num_warmup_steps": num_steps, **state}


def has_other_validation_data(plan: Plan, record: RunRecord) -> bool:
    """Whether a run is evaluated on other data than it was last."""
    had = record.data_fingerprint("val")
    return plan.val is not None and had is not None and plan.val.fingerprint != had


def compare_data(plan: Plan, record: RunRecord, folder: RunFolder) -> list[str]:
    """Compare the annotation files with those that a run had last, by its record.

    Validation data may be others.  Training data may have lost pictures and boxes, as where ``check-data
    --fix-out`` cleaned the file or somebody took broken pictures out of it, but must have the same classes.

    Returns:
        What has changed, in words.

    Raises:
        DataError: The training data are others.
    """
    changes = []
    if record.data_fingerprint("train") not in (None, plan.train.fingerprint):
        changes.append(_compare_training_data(plan, record, folder))
    if plan.val is not None and has_other_validation_data(plan, record):
        changes.append(
            f"{plan.val.annotations}: the validation data are not those of before, so scores of before and "
            "from now on do not compare, and the best checkpoint is chosen anew"
        )
    return changes


def _compare_training_data(plan: Plan, record: RunRecord, folder: RunFolder) -> str:
    counts, began_with = plan.train, record.data_counts("train")
    other = f"{counts.annotations}: has other content than the training data that {folder.path} began with"
    remedy = "put the old file back to go on exactly, or start a new run"
    if began_with is None:
        raise DataError(f"{other}; {remedy}")
    classes = record.class_names()
    if classes is not None and classes != plan.class_names:
        raise DataError(f"{other}: its classes are others, or in another order; {remedy}")
    num_pictures, num_boxes = began_with
    now = f"{counted(counts.num_pictures, 'picture')} with {counted(counts.num_boxes, 'box', 'boxes')}"
    if counts.num_pictures > num_pictures or counts.num_boxes > num_boxes:
        raise DataError(
            f"{other}: it has {now}, there were "
            f"{num_pictures:,} with {num_boxes:,}. A run may go on without some of them, not with others: "
            f"{remedy}"
        )
    return (
        f"{counts.annotations}: the training data have changed: {now}, "
        f"the run began with {num_pictures:,} and {num_boxes:,}. Pictures come "
        "in another order from here on"
    )
