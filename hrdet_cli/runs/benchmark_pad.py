"""``hrdet benchmark-pad``: what a padding policy costs on the user's spec, data and device."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.errors import DataError
from hrdet_cli.runs.build import (
    build_detector,
    build_trainer,
    build_training_loader,
    place_detector,
    select_device,
)
from hrdet_cli.runs.dataset import open_part
from hrdet_cli.runs.evaluate import never
from hrdet_cli.specs.data import BatchPaddingSpec, FixedPaddingSpec, PaddingSpec, ResizeCropSpec
from hrdet_cli.specs.experiment import CANVAS_DIVISOR_PIXELS, ExperimentSpec


@dataclass(frozen=True, slots=True)
class PaddingCost:
    """One policy's figures; rates are medians over batches.

    Attributes:
        setting: The ``--set`` that chooses the policy.
        useful_pixel_share: Share of the pixels of all batches that belong to a picture.
        num_canvases: Different canvas sizes seen.
        data_images_per_second: Reading, resizing and padding in one process.
        step_images_per_second: Forward, backward and update, without waiting for data; None if left out.
    """

    setting: str
    useful_pixel_share: float
    num_canvases: int
    data_images_per_second: float
    step_images_per_second: float | None


@dataclass(frozen=True, slots=True)
class PaddingComparison:
    """Policies measured in turn, batch by batch, so that a machine's moods hit all alike."""

    device: str
    num_batches: int
    batch_size: int
    costs: tuple[PaddingCost, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    canvases: list[Size] = field(default_factory=list)
    useful_shares: list[float] = field(default_factory=list)
    data_rates: list[float] = field(default_factory=list)
    step_rates: list[float] = field(default_factory=list)

    def count(self, batch: Batch, *, data_seconds: float, step_seconds: float | None) -> None:
        self.canvases.append(batch.images.canvas)
        self.useful_shares.append(batch.useful_pixel_share)
        self.data_rates.append(len(batch) / data_seconds)
        if step_seconds is not None:
            self.step_rates.append(len(batch) / step_seconds)

    def summarise(self, policy: PaddingSpec) -> PaddingCost:
        areas = [canvas.num_pixels for canvas in self.canvases]
        useful = sum(share * area for share, area in zip(self.useful_shares, areas, strict=True))
        return PaddingCost(
            setting=_setting(policy),
            useful_pixel_share=useful / sum(areas),
            num_canvases=len(set(self.canvases)),
            data_images_per_second=median(self.data_rates),
            step_images_per_second=median(self.step_rates) if self.step_rates else None,
        )


def compare_padding(spec: ExperimentSpec, *, num_batches: int, with_training: bool) -> PaddingComparison:
    """Measure one fixed canvas against the smallest canvas of each batch.

    The fixed canvas is the spec's, or the smallest that holds all its scales. The first batch of each policy
    warms up and is not counted.

    Args:
        spec: The experiment.
        num_batches: Batches counted for each policy.
        with_training: Make real training steps; otherwise only the data path runs.

    Raises:
        HrdetError: The data cannot be used, or holds fewer batches.
    """
    device = select_device(spec.run)
    policies: list[PaddingSpec] = [_fixed_policy(spec), BatchPaddingSpec()]
    part = open_part(spec.data, "train")
    data = spec.data.model_copy(update={"num_workers": 0})
    specs = [spec.model_copy(update={"padding": policy, "data": data}) for policy in policies]
    loaders = [build_training_loader(variant, part, device) for variant in specs]
    if loaders[0].num_steps_per_epoch <= num_batches:
        raise DataError(
            f"{part.annotations.path}: an epoch has {loaders[0].num_steps_per_epoch} batches, and the first "
            f"warms up; ask for fewer than {num_batches} with --batches, or lower data.batch_size_per_process"
        )
    if with_training:
        detector = place_detector(
            build_detector(spec, num_classes=len(part.annotations.class_names), trains=True), spec.run, device
        )
        streams = [
            _timed_steps(
                build_trainer(variant, detector, loader, device, learning_rate=1e-6, stop_asked=never)
            )
            for variant, loader in zip(specs, loaders, strict=True)
        ]
    else:
        streams = [_timed_batches(loader) for loader in loaders]
    tallies = [_Tally() for _ in policies]
    for number in range(num_batches + 1):
        for tally, stream in zip(tallies, streams, strict=True):
            batch, data_seconds, step_seconds = next(stream)
            if number > 0:
                tally.count(batch, data_seconds=data_seconds, step_seconds=step_seconds)
    costs = tuple(tally.summarise(policy) for tally, policy in zip(tallies, policies, strict=True))
    return PaddingComparison(str(device), num_batches, spec.data.batch_size_per_process, costs)


TimedBatch = tuple[Batch, float, float | None]
"""A batch, the seconds its data took, and the seconds of its training step without them."""


def _timed_steps(trainer: Trainer) -> Iterator[TimedBatch]:
    for report in trainer.train_epoch():
        batch = trainer.last_batch
        if isinstance(batch, Batch):
            yield batch, report.data_seconds, report.step_seconds - report.data_seconds


def _timed_batches(loader: TrainingLoader) -> Iterator[TimedBatch]:
    batches = loader.batches(0)
    while True:
        started = time.perf_counter()
        batch = next(batches)
        yield batch, time.perf_counter() - started, None


def _fixed_policy(spec: ExperimentSpec) -> FixedPaddingSpec:
    if isinstance(spec.padding, FixedPaddingSpec):
        return spec.padding
    augmentation = spec.augmentation
    if isinstance(augmentation, ResizeCropSpec):
        edges = [augmentation.crop_pixels]
    else:
        edges = list(augmentation.scales_pixels)
    long, short = (max(edge) for edge in zip(*edges, strict=True))
    return FixedPaddingSpec(policy="fixed", canvas_pixels=(_round_up(long), _round_up(short)))


def _round_up(edge: int) -> int:
    return -(-edge // CANVAS_DIVISOR_PIXELS) * CANVAS_DIVISOR_PIXELS


def _setting(policy: PaddingSpec) -> str:
    if isinstance(policy, FixedPaddingSpec):
        return f"padding={{policy: fixed, canvas_pixels: {list(policy.canvas_pixels)}}}"
    return "padding.policy=batch"
