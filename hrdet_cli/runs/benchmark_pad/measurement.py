"""Measures padding policies: an epoch's layout first, then batches and training steps in turn."""

import math
import platform
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import mean, median

import torch

from hrdet_cli.engine.benchmarking.epoch_layout import (
    EpochLayout,
    canvas_shares,
    epoch_seconds,
    lay_out_epoch,
    mean_seconds,
)
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.padding import PaddingPolicy
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.rehearsal import is_out_of_memory
from hrdet_cli.errors import OutOfMemoryError
from hrdet_cli.runs.anchor_advice import with_fitted_anchors
from hrdet_cli.runs.benchmark_pad.comparison import (
    Origin,
    PaddingComparison,
    PolicyCost,
    Rate,
    TrainingCost,
    counted,
)
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
FEWEST_BATCHES = 3
"""Of each policy in a repetition: pictures differ in what it takes to read them."""
NUM_IMBALANCED = 8
"""Processes over which the imbalance is told where training has one alone, which has none."""

Seconds = dict[Size, list[float]]
"""By canvas, one for each repetition."""


@dataclass(slots=True)
class _Case:
    """A policy while it is measured.

    Attributes:
        loader: Reads in this process.
        batches: As large as they can become under it.
        layout: Of an epoch over the training processes.
        imbalance: Of an epoch over `PaddingComparison.num_imbalanced` processes.
        canvases: Those that are measured.
    """

    policy: Policy
    loader: TrainingLoader
    batches: LargestBatches
    layout: EpochLayout
    imbalance: float
    canvases: tuple[Size, ...]
    data_seconds: Seconds = field(default_factory=dict)
    step_seconds: Seconds = field(default_factory=dict)
    peak_memory_bytes: int = 0

    @property
    def padding(self) -> PaddingPolicy:
        """What the policy amounts to on this data."""
        return self.loader.steps.padding

    def measure(self, canvas: Size, trainer: Trainer | None) -> None:
        """Read batches on a canvas, always others while there are some, and train on them."""
        num_batches = math.ceil(FEWEST_BATCHES / len(self.canvases))
        requests = self.layout.requests_by_canvas[canvas]
        start = num_batches * len(self.data_seconds.get(canvas, ()))
        data_seconds, step_seconds = [], []
        for number in range(start, start + num_batches):
            with self._naming_what_does_not_fit(canvas):
                with _one_thread():
                    started = time.perf_counter()
                    batch = next(self.loader.make([requests[number % len(requests)]]))
                    data_seconds.append(time.perf_counter() - started)
                if trainer is not None:
                    step_seconds.append(trainer.rehearse(batch).seconds)
        self.data_seconds.setdefault(canvas, []).append(mean(data_seconds))
        if step_seconds:
            self.step_seconds.setdefault(canvas, []).append(mean(step_seconds))

    def measure_memory(self, trainer: Trainer) -> None:
        """Make the largest step."""
        with self._naming_what_does_not_fit(self.batches.canvas):
            batch = self.batches.make(self.layout.num_pictures)
            self.peak_memory_bytes = trainer.rehearse(batch).peak_memory_bytes

    @contextmanager
    def _naming_what_does_not_fit(self, canvas: Size) -> Iterator[None]:
        """Say which batch there was no memory for."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            pictures = counted(self.layout.num_pictures, "picture")
            raise OutOfMemoryError(
                f"padding policy {self.policy.name}: memory ran out with {pictures} a process on a canvas of "
                f"{canvas}. Try a smaller data.batch_size_per_process, or smaller pictures "
                "(augmentation and padding)."
            ) from error

    def forget(self) -> None:
        """Drop what warmed up."""
        self.data_seconds.clear()
        self.step_seconds.clear()


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
    policies = choose_policies(spec, names)
    part = open_part(spec.data, "train", DataNeeds.of(spec.model.head))
    spec = with_fitted_anchors(spec, part.annotations)
    cases: list[_Case] = []
    for number, policy in enumerate(policies):
        yield WorkProgress("laying out an epoch", number, len(policies))
        case = _prepare(policy, spec, part, device, count, num_imbalanced)
        if case.padding not in [other.padding for other in cases]:  # few pictures need few canvases
            cases.append(case)
    trainer = _build_trainer(spec, part, cases[0].loader, device) if with_training else None
    if trainer is not None:
        yield from _measure_memory(cases, trainer)
    yield from _measure_seconds(cases, trainer, num_repetitions)
    return PaddingComparison(
        device=str(device),
        num_repetitions=num_repetitions,
        num_pictures=spec.data.num_pictures_per_process,
        num_processes=count,
        num_imbalanced=num_imbalanced,
        num_workers=spec.data.num_workers,
        costs=tuple(_summarise(case, spec.data.num_workers) for case in cases),
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
) -> _Case:
    """Lay out an epoch of a policy."""
    data = spec.data.model_copy(update={"num_workers": 0})
    variant = spec.model_copy(update={"padding": policy.padding, "data": data})
    loader = build_training_loader(variant, part, device, world=World(0, num_processes))
    layout = lay_out_epoch(loader.steps, num_processes=num_processes)
    spread = layout
    if num_imbalanced != num_processes:
        steps = build_steps(variant, part.annotations, num_processes=num_imbalanced)
        spread = lay_out_epoch(steps, num_processes=num_imbalanced)
    return _Case(
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


def _measure_memory(cases: Sequence[_Case], trainer: Trainer) -> Iterator[WorkProgress]:
    """Fill in the peak memory of the largest step of all cases."""
    for number, case in enumerate(cases):
        yield WorkProgress("largest steps", number, len(cases))
        case.measure_memory(trainer)


def _measure_seconds(
    cases: Sequence[_Case], trainer: Trainer | None, num_repetitions: int
) -> Iterator[WorkProgress]:
    """Fill in the seconds of all cases, turn by turn."""
    turns = [(case, canvas) for case in cases for canvas in case.canvases]
    num_in_all = len(turns) * (num_repetitions + 1)
    for repetition in range(num_repetitions + 1):
        what = "measuring" if repetition else "warming up"
        for number, (case, canvas) in enumerate(turns):
            yield WorkProgress(what, repetition * len(turns) + number, num_in_all)
            case.measure(canvas, trainer)
        if repetition == 0:
            for case in cases:
                case.forget()
    yield WorkProgress("measuring", num_in_all, num_in_all)


def _summarise(case: _Case, num_workers: int) -> PolicyCost:
    return PolicyCost(
        policy=case.policy,
        useful_pixel_share=case.layout.useful_pixel_share,
        canvas_shares=tuple(canvas_shares(case.layout)),
        imbalance=case.imbalance,
        data_rate=_rate(case.layout, case.data_seconds),
        training=_summarise_training(case, num_workers) if case.step_seconds else None,
    )


def _summarise_training(case: _Case, num_workers: int) -> TrainingCost:
    steps = epoch_seconds(case.layout, _medians(case.step_seconds))
    reading = epoch_seconds(case.layout, _medians(case.data_seconds))
    overlapped = max(steps, reading / num_workers) if num_workers else steps + reading
    return TrainingCost(
        rate=_rate(case.layout, case.step_seconds),
        peak_memory_bytes=case.peak_memory_bytes,
        hours_per_epoch=overlapped / 3600,
        is_data_bound=num_workers > 0 and reading / num_workers > steps,
    )


def _rate(layout: EpochLayout, seconds: Seconds) -> Rate:
    """Pictures a second, in each repetition averaged over the batches of an epoch."""
    repetitions = [dict(zip(seconds, of_one, strict=True)) for of_one in zip(*seconds.values(), strict=True)]
    return Rate.of([layout.num_pictures / mean_seconds(layout, measured) for measured in repetitions])


def _medians(seconds: Seconds) -> dict[Size, float]:
    return {canvas: median(measured) for canvas, measured in seconds.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Worker processes compute with one thread each."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
