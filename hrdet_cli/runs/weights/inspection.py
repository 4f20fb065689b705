"""What a source of weights holds, and how it fits a spec."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import Tensor

from hrdet_cli.engine.weights.coco_classes import coco_class_names
from hrdet_cli.engine.weights.impossible_values import find_impossible_values
from hrdet_cli.engine.weights.loading import LoadReport
from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.plain_tensors import plain_tensors
from hrdet_cli.engine.weights.reading import WeightsFile, read_weights
from hrdet_cli.runs.conventions.conventions import contradictions, preset_for
from hrdet_cli.runs.run_folder import weights_of
from hrdet_cli.runs.trained_detector.checkpoint import spec_of_checkpoint
from hrdet_cli.runs.trained_detector.fit import compare_with_spec
from hrdet_cli.specs.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True)
class Fit:
    """How weights fit the model of a spec.

    Attributes:
        spec_name: The preset's name, with what has to be set, or the spec's.
        report: Which tensors do and which do not.
        contradictions: What the file says about its conventions and the spec has otherwise.
    """

    spec_name: str
    report: LoadReport
    contradictions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What weights are.

    Attributes:
        writer: Who wrote them.
        head: As people call the detector; None of a backbone alone.
        backbone: As people call it; None where hrdet has none like it.
        background: Which row of the classifier is the background's; None where there is none.
        class_names: As the file or its publisher says, or else COCO's, if their number is; None where nobody
            knows, and of backbones.
        names_are_coco: Whether they were told by their number alone.
        num_parameters: Elements of all tensors except running statistics and counters.
        num_tensors_by_dtype: ``float32`` and so on.
        state_dict_key: Where in the file the tensors are; None where they are the file itself.
        other_state_dicts: Where others are.
        impossible_values: NaN, infinity and negative variances, a line for each tensor that holds some.
        entries: What else a checkpoint of hrdet holds.
        likely_preset: For which the weights were probably made, and which they fit, with what has to be set.
        fit: To the spec that was asked for, or to the likely preset.
    """

    source: str
    writer: str
    head: str | None
    backbone: str | None
    background: str | None
    num_classes: int | None
    class_names: tuple[str, ...] | None
    names_are_coco: bool
    num_tensors: int
    num_parameters: int
    num_tensors_by_dtype: Mapping[str, int]
    state_dict_key: str | None
    other_state_dicts: tuple[str, ...]
    impossible_values: tuple[str, ...]
    entries: tuple[str, ...]
    likely_preset: str | None
    fit: Fit | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


def inspect_weights(source: str, spec: ExperimentSpec | None) -> Inspection:
    """Find out what weights are.

    Args:
        source: A run folder (its best checkpoint), or what `read_weights` takes.
        spec: What to compare them with; None for the spec inside a checkpoint of hrdet, or the likely preset.

    Raises:
        WeightsError: They cannot be read, or are nobody's that is known.
    """
    file = read_weights(weights_of(source))
    writer, contents = recognise(file.tensors, source=file.source)
    background = "auto" if spec is None else spec.model.weights_background
    tensors = to_ours(file.tensors, writer, background=background)
    preset = preset_for(file, writer, contents)
    likely = None
    if preset is not None:
        likely = replace(_fit(file, writer, contents, tensors, preset.load()), spec_name=str(preset))
    if spec is None and file.checkpoint:
        spec = _own_spec(file)
    num_classes = num_classes_of(tensors)
    coco = None if file.class_names or num_classes is None else coco_class_names(num_classes)
    return Inspection(
        source=file.source,
        writer=writer.name,
        head=str(contents) if contents.is_detector else None,
        backbone=None if contents.backbone is None else str(contents.backbone),
        background=_background_of(writer, contents) if background == "auto" else background,
        num_classes=num_classes,
        class_names=file.class_names or coco,
        names_are_coco=coco is not None,
        num_tensors=len(tensors),
        num_parameters=sum(tensor.numel() for key, tensor in tensors.items() if _is_parameter(key)),
        num_tensors_by_dtype=dict(
            Counter(str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values())
        ),
        state_dict_key=file.state_dict_key,
        other_state_dicts=file.other_state_dicts,
        impossible_values=tuple(_impossible_values(file, tensors)),
        entries=tuple(key for key in file.checkpoint or () if type(key) is str and key.isprintable()),
        likely_preset=str(preset) if likely and likely.report.fits else None,
        fit=likely if spec is None else _fit(file, writer, contents, tensors, spec),
    )


def fit_of(source: str, spec: ExperimentSpec) -> Fit:
    """Find out how weights fit the model of a spec.

    Args:
        source: As of `inspect_weights`.
        spec: What to compare them with.

    Raises:
        WeightsError: They cannot be read, or are nobody's that is known.
    """
    file = read_weights(weights_of(source))
    writer, contents = recognise(file.tensors, source=file.source)
    tensors = to_ours(file.tensors, writer, background=spec.model.weights_background)
    return _fit(file, writer, contents, tensors, spec)


def _impossible_values(file: WeightsFile, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Of the weights, and of their average in a checkpoint of hrdet."""
    yield from map(str, find_impossible_values(tensors))
    average = (file.checkpoint or {}).get("ema_model")
    if isinstance(average, dict) and average:
        found = find_impossible_values(plain_tensors(average, f"{file.source} (ema_model)"))
        yield from (f"ema_model: {values}" for values in found)


def _background_of(writer: Writer, contents: Contents) -> str | None:
    """Which row is the background's; None where there is none."""
    if not contents.has_classes:
        return None
    return writer.background if contents.scores_background else writer.dense_background


def _own_spec(file: WeightsFile) -> ExperimentSpec | None:
    text = (file.checkpoint or {}).get("spec")
    if not isinstance(text, str):
        return None
    return spec_of_checkpoint(text, file.source)


def _fit(
    file: WeightsFile,
    writer: Writer,
    contents: Contents,
    tensors: Mapping[str, Tensor],
    spec: ExperimentSpec,
) -> Fit:
    return Fit(
        spec_name=spec.name,
        report=compare_with_spec(tensors, spec),
        contradictions=tuple(contradictions(file, writer, contents, spec.model)),
    )


def _is_parameter(key: str) -> bool:
    return not key.endswith((".running_mean", ".running_var", ".num_batches_tracked"))
