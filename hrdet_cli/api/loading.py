"""Detectors of runs, checkpoints and published weights, and new ones of a preset."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from hrdet_cli.api.pictures import AnyPath
from hrdet_cli.api.predictor import Predictor
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.build.detector import build_plain_detector, normalise_detector, place_detector
from hrdet_cli.runs.device import kernel_notices, select_device
from hrdet_cli.runs.experiment import load_experiment
from hrdet_cli.runs.initial_weights import load_initial_weights
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, build_trained_detector
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.layers import mapping_layers


def load(
    source: AnyPath,
    *,
    preset: str | None = None,
    spec: AnyPath | None = None,
    ema: bool = False,
    settings: Mapping[str, object] | None = None,
    classes: AnyPath | None = None,
) -> Predictor:
    """Load a detector: of a run, of a checkpoint, or of weights that other code trained.

    Args:
        source: A run folder (its best checkpoint, or else its last), a checkpoint, a file that `hrdet export`
            wrote, weights of other code, or a name such as ``"torchvision:fasterrcnn_resnet50_fpn"``.
        preset: What weights of other code are; a checkpoint knows that itself.
        spec: The same by a spec file of one's own.
        ema: Take the averaged weights of a run.
        settings: Changes to the spec by dotted key, as ``{"run.device": "cpu"}``.
        classes: Annotations that name the classes of weights that do not.

    Returns:
        The detector in evaluation mode, on the GPU where there is one and ``run.device`` is not ``cpu``.

    Raises:
        WeightsError: The weights cannot be read, are not a detector's, or do not fit the spec.
        SpecError: Arguments do not go together, or a setting is not valid.
        DataError: ``classes`` cannot be read.
    """
    trained = read_trained_detector(
        os.fspath(source),
        preset=preset,
        spec_file=None if spec is None else Path(spec),
        use_ema=ema,
        extra_layers=mapping_layers(settings or {}),
        classes=None if classes is None else Path(classes),
    )
    device = select_device(trained.spec.run)
    detector = build_trained_detector(trained, device)
    return Predictor(trained, detector, (*kernel_notices(device), *trained.notices))


def build(
    preset: str | None = None,
    *,
    class_names: Sequence[str],
    spec: AnyPath | None = None,
    weights: AnyPath | None = None,
    from_scratch: bool = False,
    settings: Mapping[str, object] | None = None,
) -> Predictor:
    """Build a detector that is still to be trained, as a run of the same spec begins with it.

    What is random comes from torch's generator: ``torch.manual_seed`` makes it repeat.

    Args:
        preset: Name of a preset; exactly one of it and ``spec`` is needed.
        class_names: Names of the K classes, in the order of their labels.
        spec: A spec file of one's own.
        weights: What to start from: a file, a run folder, or a name such as ``"timm:hrnet_w18"``, in place of
            what the spec names.
        from_scratch: Start from random weights, and train all that the spec would keep of trained ones.
        settings: Changes to the spec by dotted key.

    Returns:
        The detector in training mode.

    Raises:
        SpecError: Arguments do not go together, or a setting is not valid.
        WeightsError: The weights to start from cannot be read or do not fit.
    """
    loaded = load_experiment(
        preset=preset,
        spec_file=None if spec is None else Path(spec),
        settings=mapping_layers(settings or {}),
        weights=None if weights is None else os.fspath(weights),
        from_scratch=from_scratch,
    )
    names = tuple(class_names)
    if isinstance(class_names, str) or not names or len(set(names)) != len(names):
        raise SpecError([f"class_names: must be different names, one for each class; got {class_names!r}"])
    experiment = loaded.spec
    detector = build_plain_detector(experiment.model, num_classes=len(names))
    normalise_detector(detector, experiment.norm)
    initial = load_initial_weights(detector, experiment.model, class_names=names)
    device = select_device(experiment.run)
    place_detector(detector, experiment.run, device)
    trained = TrainedDetector(
        source=f"{experiment.name}, untrained",
        file=None,
        name=experiment.name,
        spec=experiment,
        class_names=names,
        category_ids=None,
        weights={},
        is_of_run=False,
        saved_spec=None,
        changes={},
    )
    notices = (*kernel_notices(device), *loaded.notes, *initial.notices)
    return Predictor(trained, detector, notices)
