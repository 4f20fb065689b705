"""Losses and gradients of a step, whose batch may be too large to go through the model at once."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.models.boxes.denominators import BatchCounts
from hrdet_cli.engine.norm.recompute import StatisticsHeld
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.gradients import GradientAverager
from hrdet_cli.engine.training.step_clock import StepClock

Losses = Callable[[ImageBatch, Targets], dict[str, Tensor]]
"""Scalars to train on the sum of, by name, of a batch on the device."""


@dataclass(frozen=True, slots=True)
class StepLosses:
    """What a step's batches cost this process.

    Attributes:
        names: Of the L losses.
        values: ``(P, L)`` of each of the P batches, on the device; they add up to the losses of the step.
    """

    names: tuple[str, ...]
    values: Tensor


class StepGradients:
    """Makes the gradients of a step from one batch or from several.

    Several are parts of a larger one, too large for the memory: they go through the model one after the
    other, twice, as `BatchCounts` says, and their gradients add up to that of the larger one.  What looks at
    a batch as a whole is not the same: batch norms see each part by itself.

    Built by all processes together.

    Args:
        model: Gives `Losses` when it is called.
        losses: Computes what the model gives, with its parameters, by other means; None calls the model.
        device: Where it is.
        numerics: What to compute in.
        clock: Told which pass begins; None keeps one that nobody reads.
    """

    def __init__(
        self,
        model: nn.Module,
        losses: Losses | None = None,
        *,
        device: torch.device,
        numerics: Numerics,
        clock: StepClock | None = None,
    ) -> None:
        self._model = model
        self._compute = model if losses is None else losses
        self._device = device
        self._numerics = numerics
        self._clock = clock or StepClock(device)
        self._averager = GradientAverager([p for p in model.parameters() if p.requires_grad])

    def make(self, batches: Sequence[Batch]) -> StepLosses:
        """Give every parameter that trains its gradient, the mean over all processes.

        Args:
            batches: On the device; there are no gradients yet.
        """
        self._clock.enter("forward")
        counts = self._count(batches) if len(batches) > 1 else None
        values: list[Tensor] = []
        for num_left, batch in zip(reversed(range(len(batches))), batches, strict=True):
            self._clock.enter("forward")
            loss_by_name = self._losses(batch, counts)
            losses = torch.stack([loss.float() for loss in loss_by_name.values()])
            self._clock.enter("backward")
            with self._averager.averaged() if num_left == 0 else nullcontext():
                torch.autograd.backward(losses.sum())
            values.append(losses.detach())
        self._clock.stop()
        return StepLosses(tuple(loss_by_name), torch.stack(values))

    @torch.no_grad()
    def _count(self, batches: Sequence[Batch]) -> BatchCounts:
        counts = BatchCounts()
        with StatisticsHeld(self._model):
            for batch in batches:
                self._losses(batch, counts)
        counts.add_up()
        return counts

    def _losses(self, batch: Batch, counts: BatchCounts | None) -> dict[str, Tensor]:
        images, targets = batch.images.to(self._device), batch.targets.to(self._device)
        with self._numerics.forward_pass(self._device.type), counts.of_a_part() if counts else nullcontext():
            losses: dict[str, Tensor] = self._compute(images, targets)
        return losses
