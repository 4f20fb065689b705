"""A trained detector as it was read, and how to build it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.loading import (
    LoadReport,
    describe_architecture,
    describe_misfits,
    load_weights,
)
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.specs.experiment import ExperimentSpec

OF_AVERAGE = "-ema"
"""How names of averages end."""
UNKNOWN_IDS = "nobody says the classes' category ids: they are counted from 1"
"""What a user is told where a file has to have some."""


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
        given_spec: The preset, or the spec's file, that weights of other code were said to be of; None of
            weights that have a spec of their own.
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
    given_spec: str | None = None
    step: int | None = None
    epoch: int | None = None
    notices: tuple[str, ...] = ()

    @property
    def is_average(self) -> bool:
        """Whether the weights are an average over the training, as their name says."""
        return self.name.endswith(OF_AVERAGE)

    @property
    def ids_in_results(self) -> tuple[int, ...]:
        """Ids of the classes in COCO's formats; where nobody says what they are, counted from 1."""
        return self.category_ids or tuple(range(1, len(self.class_names) + 1))


def name_of_results(source: str, file: Path | None) -> str:
    """What the results of weights are called by: their file's name, or their own, without an ending.

    Args:
        source: The file or name that they were read from.
        file: The file; None of weights that have a name or an address.
    """
    return file.stem if file is not None else PurePosixPath(source.rpartition(":")[2]).stem


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
