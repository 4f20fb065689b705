"""Read a trained detector, whoever left it where."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hrdet_cli.engine.weights.reading import read_weights
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.trained_detector.checkpoint import detector_of_checkpoint
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.runs.trained_detector.foreign_weights import detector_of_foreign_weights
from hrdet_cli.runs.trained_detector.source import find_weights
from hrdet_cli.specs.after_training import describe_without_effect
from hrdet_cli.specs.layers import Layer, setting_layers


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
    layers = [*extra_layers, *setting_layers(settings)]
    found = find_weights(source, use_ema=bool(use_ema))
    content = read_weights(found)
    if content.checkpoint is not None:
        _refuse_options_of_foreign_weights(source, preset=preset, spec_file=spec_file, classes=classes)
        trained = detector_of_checkpoint(source, content, content.checkpoint, layers=layers, use_ema=use_ema)
    elif use_ema:
        raise SpecError([f"--ema: {source} is no checkpoint of hrdet, so it has no averaged weights"])
    else:
        trained = detector_of_foreign_weights(
            Path(source) if Path(source).is_file() else None,
            content,
            preset=preset,
            spec_file=spec_file,
            layers=layers,
            classes=classes,
        )
    return replace(trained, notices=(*trained.notices, *describe_without_effect(layers)))


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
