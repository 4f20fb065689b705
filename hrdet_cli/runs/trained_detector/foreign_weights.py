"""A trained detector in weights of other code, which do not say how it is built."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from hrdet_cli.engine.data.coco import ANY_CLASS
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.weights.coco_classes import coco_category_ids, coco_class_names
from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.reading import WeightsFile
from hrdet_cli.errors import SpecError, WeightsError
from hrdet_cli.runs.annotation_sources import find_parts
from hrdet_cli.runs.conventions.conventions import contradictions, preset_for
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, name_of_results
from hrdet_cli.runs.trained_detector.fit import describe_left_out
from hrdet_cli.specs.after_training import layers_after_training
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.specs.keys import is_within, leaves
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.wording import counted


def detector_of_foreign_weights(
    file: Path | None,
    content: WeightsFile,
    *,
    preset: str | None,
    spec_file: Path | None,
    layers: Sequence[Layer],
    classes: Path | None,
) -> TrainedDetector:
    """The detector that other code trained.

    Args:
        file: Where its weights were read; None where they have a name and no file.
        content: What was read.
        preset: What the weights are; exactly one of it and ``spec_file`` is needed.
        spec_file: The same by a file of one's own.
        layers: Changes to the spec.
        classes: Annotations in COCO's format that name the classes of weights that do not.

    Raises:
        WeightsError: They are not a detector's, or not of the one that the spec describes.
        SpecError: Nothing says what they are, a change is not valid, or classes have no names.
        DataError: ``classes`` cannot be read.
    """
    source = content.source
    if preset is None and spec_file is None:
        raise SpecError([_describe_unknown(content)])
    weights_layer = Layer(source, {"model": {"weights": source}})  # not those that the preset names
    extra_layers = [weights_layer, *layers_after_training(layers)]
    spec = load_spec(preset=preset, spec_file=spec_file, extra_layers=extra_layers).spec
    if spec.run.precision == "auto":
        spec = _in_float32(spec)
    writer, contents = recognise(content.tensors, source=source)
    if not contents.is_detector:
        raise WeightsError(
            f"{source}: holds a backbone ({contents}), not a detector; train one that starts from it: "
            "hrdet train --weights"
        )
    weights = to_ours(content.tensors, writer, background=spec.model.weights_background)
    names, ids = _classes_of(content, contents, weights, spec.model.head, classes)
    return TrainedDetector(
        source=source,
        file=file,
        name=name_of_results(source, file),
        spec=spec,
        class_names=names,
        category_ids=ids,
        weights=weights,
        is_of_run=False,
        saved_spec=None,
        changes=_asked_for(layers, spec),
        given_spec=preset if spec_file is None else spec_file.name,
        notices=(
            *content.notices(),
            *contradictions(content, writer, contents, spec.model),
            *describe_left_out(spec, weights),
        ),
    )


def _in_float32(spec: ExperimentSpec) -> ExperimentSpec:
    """Numbers are those of the code that trained the weights in float32, whatever a device likes best."""
    return spec.model_copy(update={"run": spec.run.model_copy(update={"precision": "float32"})})


def _asked_for(layers: Sequence[Layer], spec: ExperimentSpec) -> dict[str, Any]:
    """The values of a spec, by dotted key, that layers set, or that are in a section that they open."""
    keys = [key for layer in layers for key, _ in leaves(layer.values, with_empty=True)]
    return {key: value for key, value in spec.values_by_key().items() if is_within(key, keys)}


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


def _classes_of(
    content: WeightsFile,
    contents: Contents,
    weights: Mapping[str, Tensor],
    head: HeadSpec,
    classes: Path | None,
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Names of the classes in the order of the labels, and their ids where somebody says."""
    if not head.tells_classes:
        if classes is not None:
            what = f"what model.head.kind={head.kind} finds is of no class; leave it out"
            raise SpecError([f"--classes {classes}: {what}"])
        return (ANY_CLASS,), None
    source, num_classes = content.source, num_classes_of(weights)
    if num_classes is None:
        raise WeightsError(
            f"{source}: holds a {contents}, which does not tell classes apart; give it a preset or a spec "
            "with model.head.kind=rpn"
        )
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
