"""Measures padding policies: an epoch's layout first, then batches and training steps in turn."""

import platform
from collections.abc import Generator, Iterator, Sequence
from datetime import UTC, datetime

import torch

from hrdet_cli.engine.benchmarking.epoch_layout import (
    lay_out_epoch,
)
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.runs.anchor_advice import with_fitted_anchors
from hrdet_cli.runs.benchmark_pad.comparison import (
    Origin,
    PaddingComparison,
)
from hrdet_cli.runs.benchmark_pad.measured_policy import MeasuredPolicy
from hrdet_cli.runs.benchmark_pad.policies import Policy, choose_policies
from hrdet_cli.runs.build.compilation import without_compiling
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.device import select_device
from hrdet_cli.runs.preflight import LargestBatches
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec

MOST_CANVASES_TIMED = 6
"""Of each policy; seconds on the others are read off between them."""
NUM_IMBALANCED = 8
"""Processes over which the imbalance is told where training has one alone, which has none."""


def compare_policies(
    spec: ExperimentSpec,
    names: Sequence[str],
    *,
    num_processes: int | None,
    num_repetitions: int,
    with_training: bool,
) -> Generator[WorkProgress, None, PaddingComparison]:
    """Measure padding policies.

    Every repetition goes through all policies, and through canvases that stand for an epoch of each; what is
    measured on them is weighed by how often an epoch has them.  One repetition before the first warms up.
    No step leaves a trace in the weights, so that all are made with the same.  None is compiled.

    Args:
        spec: The experiment.
        names: Of the policies; the spec's own is measured in any case.
        num_processes: Training processes to assume; None for the GPUs of this machine, or one.
        num_repetitions: How often to measure.
        with_training: Make real training steps; otherwise only the data path runs.

    Yields:
        How far it is.

    Returns:
        The comparison.

    Raises:
        SpecError: No policy, or an unknown one, is named.
        DataError: The data cannot be used.
        OutOfMemoryError: A batch or a step does not fit.
    """
    spec = _with_batches_alone(without_compiling(spec))
    device = select_device(spec.run)
    count = num_processes or _num_devices(device)
    num_imbalanced = count if count > 1 else NUM_IMBALANCED
    chosen = choose_policies(spec, names)
    part = open_part(spec.data, "train", DataNeeds.of(spec.model.head))
    spec = with_fitted_anchors(spec, part.annotations)
    policies: list[MeasuredPolicy] = []
    for number, policy in enumerate(chosen):
        yield WorkProgress("laying out an epoch", number, len(chosen))
        prepared = _prepare(policy, spec, part, device, count, num_imbalanced)
        if prepared.padding not in [other.padding for other in policies]:  # few pictures need few canvases
            policies.append(prepared)
    trainer = _build_trainer(spec, part, policies[0].loader, device) if with_training else None
    if trainer is not None:
        yield from _measure_memory(policies, trainer)
    yield from _measure_seconds(policies, trainer, num_repetitions)
    return PaddingComparison(
        device=str(device),
        num_repetitions=num_repetitions,
        num_pictures=spec.data.num_pictures_per_process,
        num_processes=count,
        num_imbalanced=num_imbalanced,
        num_workers=spec.data.num_workers,
        costs=tuple(policy.cost(num_workers=spec.data.num_workers) for policy in policies),
        origin=Origin(
            host=platform.node(),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            data_fingerprint=part.annotations.fingerprint,
            spec=spec.model_dump(mode="json"),
        ),
    )


def _with_batches_alone(spec: ExperimentSpec) -> ExperimentSpec:
    """A spec whose steps are of one batch each: batches are compared."""
    optimisation = spec.optimisation.model_copy(update={"accumulate_steps": 1})
    return spec.model_copy(update={"optimisation": optimisation})


def _num_devices(device: torch.device) -> int:
    return torch.cuda.device_count() if device.type == "cuda" else 1


def _prepare(
    policy: Policy,
    spec: ExperimentSpec,
    part: DatasetPart,
    device: torch.device,
    num_processes: int,
    num_imbalanced: int,
) -> MeasuredPolicy:
    """Lay out an epoch of a policy."""
    data = spec.data.model_copy(update={"num_workers": 0})
    variant = spec.model_copy(update={"padding": policy.padding, "data": data})
    loader = build_training_loader(variant, part, device, world=World(0, num_processes))
    layout = lay_out_epoch(loader.steps, num_processes=num_processes)
    spread = layout
    if num_imbalanced != num_processes:
        steps = build_steps(variant, part.annotations, num_processes=num_imbalanced)
        spread = lay_out_epoch(steps, num_processes=num_imbalanced)
    return MeasuredPolicy(
        policy=policy,
        loader=loader,
        batches=LargestBatches(
            loader.steps, num_classes=len(part.annotations.class_names), label_maps=part.label_maps
        ),
        layout=layout,
        imbalance=spread.imbalance,
        canvases=layout.typical_canvases(MOST_CANVASES_TIMED),
    )


def _build_trainer(
    spec: ExperimentSpec, part: DatasetPart, loader: TrainingLoader, device: torch.device
) -> Trainer:
    detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
    return build_trainer(
        spec,
        place_detector(detector, spec.run, device),
        loader,
        device,
        learning_rate=0.0,
        stop_asked=never,
    )


def _measure_memory(policies: Sequence[MeasuredPolicy], trainer: Trainer) -> Iterator[WorkProgress]:
    """Fill in the peak memory of the largest step of all policies."""
    for number, policy in enumerate(policies):
        yield WorkProgress("largest steps", number, len(policies))
        policy.measure_memory(trainer)


def _measure_seconds(
    policies: Sequence[MeasuredPolicy], trainer: Trainer | None, num_repetitions: int
) -> Iterator[WorkProgress]:
    """Fill in the seconds of all policies, turn by turn."""
    turns = [(policy, canvas) for policy in policies for canvas in policy.canvases]
    num_in_all = len(turns) * (num_repetitions + 1)
    for repetition in range(num_repetitions + 1):
        what = "measuring" if repetition else "warming up"
        for number, (policy, canvas) in enumerate(turns):
            yield WorkProgress(what, repetition * len(turns) + number, num_in_all)
            policy.measure(canvas, trainer)
        if repetition == 0:
            for policy in policies:
                policy.forget()
    yield WorkProgress("measuring", num_in_all, num_in_all)
