"""One way to a trained detector: from a run, from a checkpoint, or from weights that other code trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.data.coco import ANY_CLASS, load_annotations
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.coco_classes import coco_category_ids, coco_class_names
from hrdet_cli.engine.weights.loading import (
    LoadReport,
    compare_weights,
    describe_architecture,
    describe_misfits,
    load_weights,
)
from hrdet_cli.engine.weights.names import describe_unknown_scheme, is_weights_name
from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.reading import WeightsFile, plain_tensors, read_weights
from hrdet_cli.errors import SpecError, WeightsError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.annotation_sources import find_parts
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.weights.conventions import contradictions, preset_for
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.layers import Layer, setting_layers
from hrdet_cli.specs.loading import load_spec, validate_layers
from hrdet_cli.specs.spec_text import parse_spec
from hrdet_cli.wording import counted

_CHECKPOINT_KEYS = ("spec", "class_names", "category_ids", "model")
"""What a checkpoint must hold to be evaluated; the optimiser's state stays behind."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedDetector:
    """Everything that evaluation, prediction and export need; can be pickled.

    Attributes:
        source: The run folder, file or name that was asked for.
        file: Where the weights were read; None where they have a name and no file.
        name: What results are called by: ``best``, ``best-ema``, ``fasterrcnn_resnet50_fpn``.
        spec: How the detector is built and evaluated.
        class_names: K names in the order of the labels.
        category_ids: K ids of the classes in the annotations they come from; None where nobody says.
        weights: By the names of our detector's tensors; complete.
        is_of_run: Whether a training run left them, so that the spec's data are those it was trained on.
        saved_spec: That of a checkpoint before the command line changed it; None for weights of other code.
        changes: What the command line changed in the spec, by dotted key.
        step: Steps they were trained for; None where nobody says.
        epoch: Whole epochs, likewise.
        notices: What the user should be told.
    """

    source: str
    file: Path | None
    name: str
    spec: ExperimentSpec
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...] | None
    weights: Mapping[str, Tensor]
    is_of_run: bool
    saved_spec: ExperimentSpec | None
    changes: Mapping[str, Any]
    step: int | None = None
    epoch: int | None = None
    notices: tuple[str, ...] = ()

    @property
    def ids_in_results(self) -> tuple[int, ...]:
        """Ids of the classes in COCO's formats; where nobody says what they are, counted from 1."""
        return self.category_ids or tuple(range(1, len(self.class_names) + 1))


def read_trained_detector(
    source: str,
    *,
    preset: str | None = None,
    spec_file: Path | None = None,
    use_ema: bool | None = False,
    extra_layers: Sequence[Layer] = (),
    settings: Sequence[str] = (),
    classes: Path | None = None,
) -> TrainedDetector:
    """Read a detector's weights, and find out what they are the weights of.

    Args:
        source: A run folder (its best checkpoint, or else its last), a checkpoint of hrdet, or weights of
            other code: a file, or a name such as ``torchvision:fasterrcnn_resnet50_fpn``.
        preset: What weights of other code are; a checkpoint knows that itself.
        spec_file: The same by a file of one's own.
        use_ema: Take the averaged weights of a checkpoint; None where nobody can ask for them, so that
            nothing need be said of them.
        extra_layers: Changes to the spec, such as other data.
        settings: ``key=value`` texts on top of those. Weights of other code are computed in float32 where
            the precision is ``auto``; a checkpoint is computed as its run did, so that numbers repeat.
        classes: Annotations in COCO's format that name the classes of weights that do not.

    Raises:
        WeightsError: The weights cannot be read, are not a detector's, or say too little about themselves.
        SpecError: Options do not go together, or a change is not valid.
        DataError: ``classes`` cannot be read.
    """
    path = Path(source)
    if not (path.exists() or is_weights_name(source)):
        if (unknown := describe_unknown_scheme(source)) is not None:
            raise WeightsError(f"{source}: {unknown}")
        raise WeightsError(
            f"{source}: {why_no_file(path)}; give a run folder, a checkpoint, weights of other code, or a "
            "name such as torchvision:fasterrcnn_resnet50_fpn"
        )
    checkpoint = RunFolder(path).checkpoint_to_use(use_ema=bool(use_ema)) if path.is_dir() else None
    file = read_weights(str(checkpoint or source))
    if file.checkpoint is not None:
        _refuse_options_of_foreign_weights(source, preset=preset, spec_file=spec_file, classes=classes)
        state = file.checkpoint
        require_keys(checkpoint or path, state, _CHECKPOINT_KEYS)
        if not isinstance(state["spec"], str):
            raise WeightsError(f"{checkpoint or path}: its spec is no text; it was not written by hrdet")
        saved = spec_of_checkpoint(state["spec"], source)
        layers = [*extra_layers, *setting_layers(settings)]
        spec = spec_of_checkpoint(state["spec"], source, layers) if layers else saved
        return _of_checkpoint(source, checkpoint or path, file, saved, spec, use_ema=use_ema)
    if use_ema:
        raise SpecError([f"--ema: {source} is no checkpoint of hrdet, so it has no averaged weights"])
    if preset is None and spec_file is None:
        raise SpecError([_describe_unknown(file)])
    weights_layer = Layer(source, {"model": {"weights": source}})  # not those that the preset names
    spec = load_spec(
        preset=preset,
        spec_file=spec_file,
        extra_layers=[weights_layer, *extra_layers],
        settings=settings,
    ).spec
    if spec.run.precision == "auto":
        spec = _in_float32(spec)
    commanded = {
        key for layer in (*extra_layers, *setting_layers(settings)) for key, _ in leaves(layer.values)
    }
    changes = {key: value for key, value in _values_of(spec).items() if key in commanded}
    return _of_foreign_weights(path if path.is_file() else None, file, spec, changes, classes)


def _in_float32(spec: ExperimentSpec) -> ExperimentSpec:
    """Numbers are those of the code that trained the weights in float32, whatever a device likes best."""
    return spec.model_copy(update={"run": spec.run.model_copy(update={"precision": "float32"})})


def build_trained_detector(trained: TrainedDetector, device: torch.device) -> Detector:
    """A detector with its weights on a device, in evaluation mode.

    Raises:
        WeightsError: The weights do not fit the detector that the spec describes.
    """
    spec = trained.spec
    detector = build_detector(spec, num_classes=len(trained.class_names), trains=False)
    place_detector(detector, spec.run, device)
    report = load_weights(detector, trained.weights, strict=False, source=trained.source)
    is_complete = not (report.missing or report.differing or report.remade or report.unused_statistics)
    if not is_complete or (report.left_over and spec.model.strict_weights):
        raise WeightsError(
            "\n".join(
                [
                    f"{trained.source}: its weights do not fit the detector that the spec describes",
                    *describe_misfits(report),
                    *describe_architecture(report),
                    *_describe_norms(report, spec),
                    "Describe the model and norm that they were trained with.",
                ]
            )
        )
    return detector.eval()


def _describe_norms(report: LoadReport, spec: ExperimentSpec) -> Iterator[str]:
    if report.unused_statistics:
        num_unused = len(report.unused_statistics)
        yield f"norm.kind={spec.norm.kind} has no place for {num_unused} running statistics"


def require_keys(checkpoint: Path, state: Mapping[str, Any], keys: Sequence[str]) -> None:
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
    return validate_layers([Layer(source, parse_spec(text, source=source)), *layers]).spec


def compare_with_spec(weights: Mapping[str, Tensor], spec: ExperimentSpec) -> LoadReport:
    """How weights by our names fit the detector that a spec describes; nothing is built in memory.

    The detector has the classes of the weights; of a backbone, whose head is not compared, any number.
    """
    with torch.device("meta"):
        detector = build_detector(spec, num_classes=num_classes_of(weights) or 1, trains=False)
    return compare_weights(detector, weights)


def _refuse_options_of_foreign_weights(
    source: str, *, preset: str | None, spec_file: Path | None, classes: Path | None
) -> None:
    given = {"--preset": preset, "--spec": spec_file, "--classes": classes}
    problems = [
        f"{option}: is for weights of other code; {source} knows this itself, so leave it away "
        "(--set changes single values)"
        for option, value in given.items()
        if value is not None
    ]
    if problems:
        raise SpecError(problems)


def _of_checkpoint(
    source: str,
    file: Path,
    content: WeightsFile,
    saved_spec: ExperimentSpec,
    spec: ExperimentSpec,
    *,
    use_ema: bool | None,
) -> TrainedDetector:
    state = content.checkpoint or {}
    key = "ema_model" if use_ema else "model"
    if use_ema and key not in state:
        raise WeightsError(
            f"{file}: holds no averaged weights, which only runs with optimisation.ema have; leave --ema away"
        )
    name = file.stem if not use_ema or file.stem.endswith("-ema") else f"{file.stem}-ema"
    is_average_missed = "ema_model" in state and use_ema is False
    weights = plain_tensors(state[key], f"{file} ({key})") if use_ema else content.tensors
    class_names, ids = content.class_names or (), state["category_ids"]
    num_classes = num_classes_of(weights)
    if num_classes is None:  # classifiers of other heads are compared when they are loaded
        num_classes = len(class_names)
    if len(class_names) != num_classes or not (ids is None or _are_ids(ids, num_classes)):
        raise WeightsError(
            f"{file}: its class_names or category_ids are not those of its {num_classes} classes; use "
            "another checkpoint of the run"
        )
    return TrainedDetector(
        source=source,
        file=file,
        name=name,
        spec=spec,
        class_names=class_names,
        category_ids=None if ids is None else tuple(ids),
        weights=weights,
        is_of_run="optimiser" in state,
        saved_spec=saved_spec,
        changes=_differences(saved_spec, spec),
        step=_whole_number(state.get("step")),
        epoch=_whole_number(state.get("num_finished_epochs")),
        notices=(
            *((_describe_average(source, file),) if is_average_missed else ()),
            *_left_out(spec, weights),
        ),
    )


def _differences(before: ExperimentSpec, after: ExperimentSpec) -> dict[str, Any]:
    """The values of ``after`` that ``before`` has otherwise; None for what it has no more."""
    old, new = _values_of(before), _values_of(after)
    return {key: new.get(key) for key in {**old, **new} if new.get(key) != old.get(key)}


def _values_of(spec: ExperimentSpec) -> dict[str, Any]:
    return dict(leaves(spec.model_dump(mode="json")))


def _whole_number(value: object) -> int | None:
    return value if type(value) is int else None


def _describe_average(source: str, file: Path) -> str:
    """That a checkpoint's raw weights are used, though there is an average."""
    if file.stem.endswith("-ema"):
        return f"{file}: the raw weights in it are used, not the average that it was kept for (--ema)"
    if (folder := Path(source)).is_dir():
        average = RunFolder(folder).checkpoint_to_use(use_ema=True)
        return f"{file}: raw weights are used; --ema takes the average in {average}"
    return f"{file}: raw weights are used; it holds their average too (--ema)"


def _are_ids(value: object, number: int | None) -> bool:
    return isinstance(value, list) and len(value) == number and all(type(number) is int for number in value)


def _left_out(spec: ExperimentSpec, weights: Mapping[str, Tensor]) -> Iterator[str]:
    """What of the weights is not used because the spec says that not all need be."""
    if spec.model.strict_weights:
        return
    for misfit in describe_misfits(compare_with_spec(weights, spec)):
        yield f"model.strict_weights=false: {misfit}"


def _describe_unknown(content: WeightsFile) -> str:
    """That weights need a spec, and which preset they were probably made for."""
    writer, contents = recognise(content.tensors, source=content.source)
    preset = preset_for(content, writer, contents)
    probably = f", probably --preset {preset}" if preset else ""
    return (
        f"{content.source}: holds weights of other code ({describe_weights(writer, contents)}), which do not "
        f"say how their detector is built; say it with --preset NAME or --spec FILE{probably} "
        "(`hrdet presets list` shows all)"
    )


def _of_foreign_weights(
    file: Path | None,
    content: WeightsFile,
    spec: ExperimentSpec,
    changes: Mapping[str, Any],
    classes: Path | None,
) -> TrainedDetector:
    source = content.source
    writer, contents = recognise(content.tensors, source=source)
    if not contents.is_detector:
        raise WeightsError(
            f"{source}: holds a backbone ({contents}), not a detector; train one that starts from it: "
            "hrdet train --weights"
        )
    weights = to_ours(content.tensors, writer, background=spec.model.weights_background)
    num_classes = num_classes_of(weights) if spec.model.head.tells_classes else 1
    if num_classes is None:
        raise WeightsError(
            f"{source}: holds a {contents}, which does not tell classes apart; give it a preset or a spec "
            "with model.head.kind=rpn"
        )
    tells_classes = spec.model.head.tells_classes
    if classes is not None and not tells_classes:
        raise SpecError(
            [
                f"--classes {classes}: what model.head.kind={spec.model.head.kind} finds is of no class; "
                "leave it out"
            ]
        )
    names, ids = _classes_of(content, num_classes, classes) if tells_classes else ((ANY_CLASS,), None)
    return TrainedDetector(
        source=source,
        file=file,
        name=file.stem if file is not None else PurePosixPath(source.rpartition(":")[2]).stem,
        spec=spec,
        class_names=names,
        category_ids=ids,
        weights=weights,
        is_of_run=False,
        saved_spec=None,
        changes=changes,
        notices=(
            *content.notices(),
            *contradictions(content, writer, contents, spec.model),
            *_left_out(spec, weights),
        ),
    )


def _classes_of(
    content: WeightsFile, num_classes: int, classes: Path | None
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the classes in the order of the labels, and their ids where somebody says."""
    source = content.source
    if classes is not None:
        annotations = load_annotations(find_parts(classes, None, None)[0])
        num_named = len(annotations.class_names)
        if num_named != num_classes:
            raise SpecError(
                [
                    f"--classes {classes}: names {counted(num_named, 'category', 'categories')}, but "
                    f"{source} has {counted(num_classes, 'class', 'classes')}; name the annotations that it "
                    "was trained on"
                ]
            )
        return annotations.class_names, annotations.category_ids
    names = content.class_names or coco_class_names(num_classes)
    if names is None:
        raise SpecError(
            [
                f"{source}: does not name its {counted(num_classes, 'class', 'classes')}; name them with "
                "--classes JSON, the annotations that it was trained on"
            ]
        )
    if len(names) != num_classes:
        raise WeightsError(
            f"{source}: names {counted(len(names), 'class', 'classes')} but has {num_classes}; name them "
            "with --classes JSON"
        )
    return names, coco_category_ids(names)
