"""A trained detector in a checkpoint of hrdet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.plain_tensors import plain_tensors
from hrdet_cli.engine.weights.reading import WeightsFile
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.trained_detector.detector import OF_AVERAGE, TrainedDetector, name_of_results
from hrdet_cli.runs.trained_detector.fit import describe_left_out
from hrdet_cli.specs.after_training import OF_TRAININGS, layers_after_training
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.spec_text import parse_spec
from hrdet_cli.wording import counted

_CHECKPOINT_KEYS = ("spec", "class_names", "category_ids", "model")
"""What a checkpoint must hold to be evaluated; the optimiser's state stays behind."""


def require_keys(checkpoint: Path | str, state: Mapping[str, Any], keys: Sequence[str]) -> None:
    """A checkpoint must hold certain entries.

    Raises:
        WeightsError: One is missing.
    """
    missing = [key for key in keys if key not in state]
    if missing:
        raise WeightsError(
            f"{checkpoint}: lacks {', '.join(missing)}; it was not written by a training run of this hrdet"
        )


def spec_of_checkpoint(text: str, source: str, layers: Sequence[Layer] = ()) -> ExperimentSpec:
    """The spec that a checkpoint holds as a text, changed by further layers.

    Raises:
        SpecError: It is not valid, or a change is not.
    """
    saved = Layer(source, parse_spec(text, source=source))
    return validate_layers([saved, *layers_after_training(layers)]).spec


def detector_of_checkpoint(
    source: str,
    content: WeightsFile,
    state: Mapping[str, Any],
    *,
    layers: Sequence[Layer],
    use_ema: bool | None,
) -> TrainedDetector:
    """The detector that a run trained.

    Args:
        source: The run folder, file or name that was asked for.
        content: What was read of the checkpoint.
        state: Its entries.
        layers: Changes to the spec.
        use_ema: As of `read_trained_detector`.

    Raises:
        WeightsError: It lacks something, or contradicts itself.
        SpecError: A change is not valid.
    """
    require_keys(content.source, state, _CHECKPOINT_KEYS)
    if not isinstance(state["spec"], str):
        raise WeightsError(f"{content.source}: its spec is no text; it was not written by hrdet")
    saved_spec = spec_of_checkpoint(state["spec"], source)
    spec = spec_of_checkpoint(state["spec"], source, layers) if layers else saved_spec
    weights = _weights_of(content, state, use_ema=bool(use_ema))
    class_names, ids = _classes_of(content, state, weights)
    file = None if is_weights_name(content.source) else Path(content.source)
    name = name_of_results(content.source, file)
    is_average_missed = "ema_model" in state and use_ema is False
    return TrainedDetector(
        source=source,
        file=file,
        name=_with_kind(name, use_ema=bool(use_ema), has_average="ema_model" in state),
        spec=spec,
        class_names=class_names,
        category_ids=ids,
        weights=weights,
        is_of_run="optimiser" in state,
        saved_spec=saved_spec,
        changes=spec_changes(saved_spec, spec),
        step=_whole_number(state.get("step")),
        epoch=_whole_number(state.get("num_finished_epochs")),
        notices=(
            *((_describe_average(source, content.source, name),) if is_average_missed else ()),
            *describe_left_out(spec, weights),
        ),
    )


def _with_kind(name: str, *, use_ema: bool, has_average: bool) -> str:
    """A name of results that tells those of an average from those of the raw weights beside it."""
    is_named_so = name.endswith(OF_AVERAGE)
    if use_ema:
        return name if is_named_so else f"{name}{OF_AVERAGE}"
    return f"{name}-raw" if is_named_so and has_average else name


def _weights_of(content: WeightsFile, state: Mapping[str, Any], *, use_ema: bool) -> Mapping[str, Tensor]:
    """The raw weights of a checkpoint, or their average."""
    if not use_ema:
        return content.tensors
    if "ema_model" not in state:
        raise WeightsError(
            f"{content.source}: holds no averaged weights, which only runs with optimisation.ema have; leave "
            "--ema away"
        )
    return plain_tensors(state["ema_model"], f"{content.source} (ema_model)")


def _classes_of(
    content: WeightsFile, state: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the classes in the order of the labels, and their ids where the checkpoint says them."""
    names, ids = content.class_names or (), state["category_ids"]
    num_classes = num_classes_of(weights)
    if num_classes is None:  # classifiers of other heads are compared when they are loaded
        num_classes = len(names)
    if len(names) != num_classes or not (ids is None or _are_ids(ids, num_classes)):
        raise WeightsError(
            f"{content.source}: its class_names or category_ids are not those of its "
            f"{counted(num_classes, 'class', 'classes')}; use another checkpoint of the run"
        )
    return names, None if ids is None else tuple(ids)


def spec_changes(before: ExperimentSpec, after: ExperimentSpec) -> dict[str, Any]:
    """The values of ``after`` that ``before`` has otherwise; None for what it has no more.

    What only a training looks at was put to its default, which nobody asked for.
    """
    old, new = before.values_by_key(), after.values_by_key()
    keys = (key for key in {**old, **new} if key not in OF_TRAININGS)
    return {key: new.get(key) for key in keys if new.get(key) != old.get(key)}


def _whole_number(value: object) -> int | None:
    return value if type(value) is int else None


def _describe_average(source: str, checkpoint: str, name: str) -> str:
    """That a checkpoint's raw weights are used, though there is an average."""
    if name.endswith(OF_AVERAGE):
        return f"{checkpoint}: the raw weights in it are used, not the average that it was kept for (--ema)"
    if (folder := Path(source)).is_dir():
        average = RunFolder(folder).checkpoint_to_use(use_ema=True)
        return f"{checkpoint}: raw weights are used; --ema takes the average in {average}"
    return f"{checkpoint}: raw weights are used; it holds their average too (--ema)"


def _are_ids(value: object, number: int | None) -> bool:
    return isinstance(value, list) and len(value) == number and all(type(number) is int for number in value)
