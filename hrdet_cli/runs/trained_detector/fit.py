"""How weights fit the detector that a spec describes."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from hrdet_cli.engine.weights.loading import LoadReport, compare_weights, describe_misfits
from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.experiment import ExperimentSpec


def compare_with_spec(weights: Mapping[str, Tensor], spec: ExperimentSpec) -> LoadReport:
    """How weights by our names fit the detector that a spec describes; nothing is built in memory.

    The detector has the classes of the weights; of a backbone, whose head is not compared, any number.
    """
    with torch.device("meta"):
        detector = build_detector(spec, num_classes=num_classes_of(weights) or 1, trains=False)
    return compare_weights(detector, weights)


def describe_left_out(spec: ExperimentSpec, weights: Mapping[str, Tensor]) -> Iterator[str]:
    """What of the weights is not used because the spec says that not all need be."""
    if spec.model.strict_weights:
        return
    for misfit in describe_misfits(compare_with_spec(weights, spec)):
        yield f"model.strict_weights=false: {misfit}"
