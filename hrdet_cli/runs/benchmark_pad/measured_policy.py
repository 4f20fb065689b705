"""A padding policy while it is measured."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, median

import torch

from hrdet_cli.engine.benchmarking.epoch_layout import (
    EpochLayout,
    canvas_shares,
    epoch_seconds,
    mean_seconds,
)
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.padding import PaddingPolicy
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.rehearsal import is_out_of_memory
from hrdet_cli.errors import OutOfMemoryError
from hrdet_cli.runs.benchmark_pad.comparison import PolicyCost, Rate, TrainingCost, counted
from hrdet_cli.runs.benchmark_pad.policies import Policy
from hrdet_cli.runs.preflight import LargestBatches

FEWEST_BATCHES = 3
"""Of each policy in a repetition: pictures differ in what it takes to read them."""

Seconds = dict[Size, list[float]]
"""By canvas, one for each repetition."""


@dataclass(slots=True)
class MeasuredPolicy:
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

    def cost(self, *, num_workers: int) -> PolicyCost:
        """What was measured, for an epoch.

        Args:
            num_workers: Processes that read beside training.
        """
        return PolicyCost(
            policy=self.policy,
            useful_pixel_share=self.layout.useful_pixel_share,
            canvas_shares=tuple(canvas_shares(self.layout)),
            imbalance=self.imbalance,
            data_rate=_rate(self.layout, self.data_seconds),
            training=self._training_cost(num_workers) if self.step_seconds else None,
        )

    def _training_cost(self, num_workers: int) -> TrainingCost:
        steps = epoch_seconds(self.layout, _medians(self.step_seconds))
        reading = epoch_seconds(self.layout, _medians(self.data_seconds))
        overlapped = max(steps, reading / num_workers) if num_workers else steps + reading
        return TrainingCost(
            rate=_rate(self.layout, self.step_seconds),
            peak_memory_bytes=self.peak_memory_bytes,
            hours_per_epoch=overlapped / 3600,
            is_data_bound=num_workers > 0 and reading / num_workers > steps,
        )

    def forget(self) -> None:
        """Drop what warmed up."""
        self.data_seconds.clear()
        self.step_seconds.clear()


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
