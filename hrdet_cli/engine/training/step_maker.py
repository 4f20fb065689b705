"""One step of a training: gradients, what the processes tell each other, the update."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.activity import waiting_for
from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.training.step_clock import StepClock
from hrdet_cli.engine.training.step_feed import StepFeed
from hrdet_cli.engine.training.step_gradients import StepGradients
from hrdet_cli.engine.training.stragglers import Straggler, StragglerWatch
from hrdet_cli.errors import NonFiniteLossError


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step gave, the same on every process.

    Attributes:
        losses: Means over all processes, by name.
        gradient_norm: Before clipping.
        stragglers: Processes that are slower than the others from now on, or no longer are.
        stop_asked: Whether any process was asked to stop.
        lacks_next_batch: Whether any process could not read its next batch.
        has_faulty_pictures: Whether any process trained on other pictures than were drawn, or has met damaged
            pictures that it has not told yet.
    """

    losses: dict[str, float]
    gradient_norm: float
    stragglers: tuple[Straggler, ...]
    stop_asked: bool
    lacks_next_batch: bool
    has_faulty_pictures: bool


class StepMaker:
    """Makes steps, at the rates that the optimiser's groups have.

    Built by all processes together.

    Args:
        gradients: Makes those of the parameters that train.
        optimiser: Holds these parameters.
        clip_norm: Gradients are scaled down so that their total L2 norm is at most this; None does not clip.
        stop_asked: Whether this process was asked to stop. It is called once a step and told to all processes
            along with the losses, so that they leave after the same step.
        clock: That of ``gradients``.
        stragglers: Have their times told along with the losses, too.

    Attributes:
        last_batch: The last batch of the step last begun, on the device; after a `NonFiniteLossError` the
            first one of this process that has such a loss, if any has.
        is_last_batch_suspect: Whether, after a `NonFiniteLossError`, ``last_batch`` is one to look at: its
            own losses are not finite, or all losses are finite and only the gradient is not.
    """

    def __init__(
        self,
        gradients: StepGradients,
        *,
        optimiser: torch.optim.Optimizer,
        clip_norm: float | None,
        stop_asked: Callable[[], bool],
        clock: StepClock,
        stragglers: StragglerWatch,
    ) -> None:
        self._gradients = gradients
        self._optimiser = optimiser
        self._clip_norm = clip_norm
        self._stop_asked = stop_asked
        self._clock = clock
        self._stragglers = stragglers
        self.last_batch: Batch | None = None
        self.is_last_batch_suspect = False

    def make(
        self,
        step: int,
        batches: Sequence[Batch],
        *,
        ahead: StepFeed | None = None,
        has_faulty: bool = False,
    ) -> StepOutcome:
        """Make one step.

        The host waits for the device exactly once, when the losses' means, what the processes tell each other
        and the process's own losses are read as one tensor. That is between the backward pass and the update,
        so that a loss that is not finite never reaches the weights; the device idles only while the update is
        enqueued. Before it waits, the next step's batches are fetched. (An average of the weights waits once
        more after the update: `WeightAverage.update`.)

        Args:
            step: Its number, counted from 1 over the whole run.
            batches: Of the step, on the device.
            ahead: Where the next batches come from; None where there are none.
            has_faulty: Whether this process has broken or damaged pictures to tell.

        Raises:
            NonFiniteLossError: A loss part or the gradient is NaN or infinite, on any process. The weights
                and the optimiser are those of the step before (running statistics of normalisation layers
                have seen the batch).
        """
        self.last_batch = batches[-1]
        self._optimiser.zero_grad(set_to_none=True)
        losses = self._gradients.make(batches)
        own = losses.values.sum(dim=0)
        gradient_norm = self._clip_gradients()
        lacks_next = False
        if ahead is not None:
            ahead.fetch_ahead()
            lacks_next = ahead.failure() is not None
        told = [
            own.new_full((1,), float(flag))  # filled on the device: a copy would wait
            for flag in (self._stop_asked(), lacks_next, has_faulty)
        ]
        self._clock.enter("exchange")
        means = mean_over_processes(
            torch.cat([own, gradient_norm[None], *told, *self._stragglers.message(own)]),
            what="mean of the losses",
        )
        self._clock.stop()
        with waiting_for("losses of the step"):
            values: list[float] = torch.cat([means, losses.values.flatten()]).tolist()
        named = dict(zip(losses.names, values[: len(own)], strict=True))
        norm, *others = values[len(own) : len(means)]
        shares, times = others[: len(told)], others[len(told) :]
        self._refuse_non_finite(
            step, {**named, "gradient_norm": norm}, batches, own_losses=values[len(means) :]
        )
        self._optimiser.step()
        flags = (share > 0 for share in shares)
        return StepOutcome(named, norm, self._stragglers.take(times), *flags)

    def _clip_gradients(self) -> Tensor:
        """Scale the gradients down to the clip norm.

        Returns:
            Their norm before, a scalar on the device.
        """
        parameters = [
            p for group in self._optimiser.param_groups for p in group["params"] if p.grad is not None
        ]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self._clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self._clip_norm, norm)
        return norm

    def _refuse_non_finite(
        self,
        step: int,
        value_by_name: Mapping[str, float],
        batches: Sequence[Batch],
        *,
        own_losses: Sequence[float],
    ) -> None:
        """Raise on every process alike where a mean is not finite: a mean with one bad part never is.

        Args:
            step: Its number.
            value_by_name: Means over all processes.
            batches: Of this process's step.
            own_losses: This process's, one batch's after the other.
        """
        for name, value in value_by_name.items():
            if not math.isfinite(value):
                bad = [place for place, loss in enumerate(own_losses) if not math.isfinite(loss)]
                if bad:
                    self.last_batch = batches[bad[0] * len(batches) // len(own_losses)]
                self.is_last_batch_suspect = bool(bad) or name == "gradient_norm"
                raise NonFiniteLossError(loss_name=name, value=value, step=step)
