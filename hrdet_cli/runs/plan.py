"""What a training run will do, counted before it starts. Does not import torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.samplers import num_training_steps
from hrdet_cli.runs.dataset import TrainingData, training_indices
from hrdet_cli.specs.data import FixedPaddingSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec


@dataclass(frozen=True, slots=True)
class PartCounts:
    """What an annotation file holds.

    Attributes:
        num_used: Pictures that take part.
        dropped_boxes: Boxes that cannot be used, by reason.
        fingerprint: SHA-256 of the annotation file.
    """

    annotations: str
    num_pictures: int
    num_used: int
    num_boxes: int
    num_crowd_regions: int
    dropped_boxes: Mapping[str, int]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers.

    Attributes:
        batch_size: Pictures a step over all processes.
        num_repeats_per_epoch: Pictures shown twice in an epoch to fill the last batch of each orientation.
        backbone_weights: The file they start from; None for random weights.
        has_backbone_weights: Whether that file is there.
        learning_rate: The rate after warm-up, before the first drop.
        learning_rate_rule: How it came about, in words.
        canvases: The canvases batches lie on, ``WIDTHxHEIGHT``, or the rule that gives them.
        sources: The layer that set each value that is not a default.
    """

    name: str
    class_names: tuple[str, ...]
    train: PartCounts
    val: PartCounts
    num_processes: int
    batch_size: int
    steps_per_epoch: int
    num_repeats_per_epoch: int
    num_steps: int
    backbone_weights: str | None
    has_backbone_weights: bool
    learning_rate: float
    learning_rate_rule: str
    canvases: tuple[str, ...]
    sources: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


def make_plan(loaded: LoadedSpec, data: TrainingData, *, num_processes: int = 1) -> Plan:
    """Count what a spec will do with its data.

    Raises:
        DataError: No picture is left to train on.
    """
    spec = loaded.spec
    train, val = data.train.annotations, data.val.annotations
    weights = spec.model.backbone_weights
    indices = training_indices(train, keep_pictures_without_boxes=spec.data.keep_pictures_without_boxes)
    is_portrait = train.sizes[indices, 0] > train.sizes[indices, 1]
    batch_size = spec.data.batch_size_per_process * num_processes
    steps_per_epoch = num_training_steps(is_portrait=is_portrait, batch_size=batch_size)
    return Plan(
        name=spec.name,
        class_names=train.class_names,
        train=_count(train, len(indices)),
        val=_count(val, len(val)),
        num_processes=num_processes,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        num_repeats_per_epoch=steps_per_epoch * batch_size - len(indices),
        num_steps=steps_per_epoch * spec.optimisation.num_epochs,
        backbone_weights=None if weights is None else str(weights),
        has_backbone_weights=weights is not None and weights.is_file(),
        learning_rate=spec.optimisation.learning_rate_for(batch_size),
        learning_rate_rule=_learning_rate_rule(spec, batch_size),
        canvases=_canvases(spec, has_landscape=not is_portrait.all(), has_portrait=is_portrait.any()),
        sources=dict(loaded.sources),
    )


def _count(annotations: CocoAnnotations, num_used: int) -> PartCounts:
    return PartCounts(
        annotations=str(annotations.path),
        num_pictures=len(annotations),
        num_used=num_used,
        num_boxes=int(np.count_nonzero(~annotations.is_crowd)),
        num_crowd_regions=int(np.count_nonzero(annotations.is_crowd)),
        dropped_boxes=dict(annotations.dropped_boxes),
        fingerprint=annotations.fingerprint,
    )


def _learning_rate_rule(spec: ExperimentSpec, batch_size: int) -> str:
    optimisation = spec.optimisation
    if optimisation.learning_rate_scaling == "none":
        return "as set (optimisation.learning_rate_scaling is none)"
    return (
        f"{optimisation.base_learning_rate:g} x {batch_size} / {optimisation.base_batch_size} (linear rule)"
    )


def _canvases(spec: ExperimentSpec, *, has_landscape: bool, has_portrait: bool) -> tuple[str, ...]:
    if not isinstance(spec.padding, FixedPaddingSpec):
        return (f"smallest multiple of {spec.padding.divisor_pixels} pixels that holds each batch",)
    long, short = spec.padding.canvas_pixels
    turned = [(f"{long}x{short}", has_landscape), (f"{short}x{long}", has_portrait)]
    return tuple(canvas for canvas, needed in turned if needed)
