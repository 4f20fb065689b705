"""The training loop: a generator of reports that can be left, saved and taken up again between any two."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch, PictureFault
from hrdet_cli.engine.data.device_feed import DeviceFeed, copy_stream
from hrdet_cli.engine.distributed.activity import enter_phase, waiting_for
from hrdet_cli.engine.distributed.agreement import raise_together
from hrdet_cli.engine.distributed.collectives import gather_everywhere, mean_over_processes
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.optimiser import load_optimiser_state
from hrdet_cli.engine.training.position import Position, PositionMoved, position_from
from hrdet_cli.engine.training.rehearsal import Snapshot, StepCost, make_state, measure
from hrdet_cli.engine.training.reports import StepReport, peak_memory_bytes
from hrdet_cli.engine.training.schedule import Schedule
from hrdet_cli.engine.training.step_clock import StepClock
from hrdet_cli.engine.training.step_feed import StepFeed
from hrdet_cli.engine.training.step_gradients import Losses, StepGradients
from hrdet_cli.engine.training.stragglers import Straggler, StragglerWatch
from hrdet_cli.errors import NonFiniteLossError, WeightsError


class StepLoader(Protocol):
    """Where the batches come from; a pure function of (epoch, step) for the resume to be exact.

    A step here is one batch of each process, of which a step of the trainer may have several.
    """

    @property
    def num_steps_per_epoch(self) -> int:
        """Number of batches in every epoch."""

    @property
    def num_images_per_step(self) -> int:
        """Number of pictures in a batch of all processes together."""

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterable[Batch]:
        """Batches ``first_step`` (counted from 0) to the last of an epoch (counted from 0)."""


@dataclass(frozen=True, slots=True)
class _StepOutcome:
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


class _FaultyPictures(NamedTuple):
    """The pictures of a step that could not be read, and those that could with damage."""

    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()

    def everywhere(self) -> "_FaultyPictures":
        """Those of all processes."""
        parts = gather_everywhere(self, what="names of broken pictures")
        return _FaultyPictures(*(tuple(chain.from_iterable(kind)) for kind in zip(*parts, strict=True)))


class Trainer:
    """Trains a model for a number of epochs and keeps the position.

    Typical use::

        while not trainer.is_finished:
            for report in trainer.train_epoch():
                ...  # draw, log, save or leave: a report means that its step is finished on every process
            ...      # evaluate

    Args:
        model: On ``device``; gives `Losses` when it is called.
        optimiser: Holds the parameters that train; its groups have a factor each, see `build_optimiser`.
        schedule: Sets the learning rate of every step.
        loader: Gives the batches, in host memory.
        num_epochs: Number of epochs in the whole run.
        clip_norm: Gradients are scaled down so that their total L2 norm is at most this; None does not clip.
        device: Where the batches are copied to.
        numerics: What each step computes in.
        stop_asked: Whether this process was asked to stop. It is called once a step and told to all processes
            along with the losses, so that they leave after the same step.
        average: Takes every finished step in; None keeps no average.
        losses: Computes what the model gives, with its parameters, by other means; None calls the model.
        accumulate_steps: Batches of each step, which counts as one batch of all their pictures; see
            `StepGradients`. What is left at the end of an epoch is a smaller step.

    Attributes:
        last_batch: The last batch of the step last begun; after a `NonFiniteLossError` the first one of this
            process that has such a loss, if any has.
        is_last_batch_suspect: Whether, after a `NonFiniteLossError`, this process's ``last_batch`` is one to
            look at: its own losses are not finite, or all losses are finite and only the gradient is not.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        loader: StepLoader,
        num_epochs: int,
        clip_norm: float | None,
        device: torch.device,
        numerics: Numerics,
        stop_asked: Callable[[], bool],
        average: WeightAverage | None = None,
        losses: Losses | None = None,
        accumulate_steps: int = 1,
    ) -> None:
        self._model = model
        self._optimiser = optimiser
        self._schedule = schedule
        self._loader = loader
        self._num_epochs = num_epochs
        self._clip_norm = clip_norm
        self._device = device
        self._numerics = numerics
        self._copying = copy_stream(device)
        self._stop_asked = stop_asked
        self._average = average
        self._accumulate_steps = accumulate_steps
        self._clock = StepClock(device)
        self._stragglers = StragglerWatch(current_world(), self._clock)
        self._gradients = StepGradients(model, losses, device=device, numerics=numerics, clock=self._clock)
        self._position = Position()
        self.last_batch: Batch | None = None
        self.is_last_batch_suspect = False
        self._told_damaged: set[str] = set()

    @property
    def step(self) -> int:
        """Number of steps finished over the whole run, also over resumes with other numbers of processes."""
        return self._position.step

    @property
    def averaged_model(self) -> nn.Module | None:
        """The model with the average of the weights, if one is kept."""
        return None if self._average is None else self._average.model

    @property
    def num_finished_epochs(self) -> int:
        """Number of epochs trained to their end."""
        return self._position.num_finished_epochs

    @property
    def step_in_epoch(self) -> int:
        """Number of steps finished in the current epoch."""
        return self._position.step_in_epoch

    @property
    def num_steps(self) -> int:
        """Number of steps in the whole run: those finished and those left."""
        num_epochs_left = self._num_epochs - self.num_finished_epochs
        return self.step - self.step_in_epoch + num_epochs_left * self._num_steps_per_epoch

    @property
    def _num_steps_per_epoch(self) -> int:
        return math.ceil(self._loader.num_steps_per_epoch / self._accumulate_steps)

    @property
    def _num_images_per_step(self) -> int:
        return self._loader.num_images_per_step * self._accumulate_steps

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are trained."""
        return self.num_finished_epochs >= self._num_epochs

    def train_epoch(self) -> Iterator[StepReport]:
        """Train the rest of the current epoch: all of it, or what a stop in its middle left.

        Yields:
            A report after each finished step. While the caller holds it the state is consistent and can be
            saved; leaving the generator there and calling this again goes on with the next step.

        Raises:
            DataError: A picture of this process's next batch is missing or damaged. All processes have
                finished the same step, whose report said so.
            PeerError: The same of another process.
            SpecError: The step has an operator without a deterministic algorithm, and must be deterministic.
            NonFiniteLossError: A loss part or the gradient is NaN or infinite. The step is not finished: the
                weights and the optimiser are those of the step before (running statistics of
                normalisation layers have seen the batch).
        """
        if self.is_finished:
            return
        self._model.train()
        epoch = self.num_finished_epochs
        started = time.perf_counter()
        loaded = self._loader.batches(epoch, first_step=self.step_in_epoch * self._accumulate_steps)
        feed = StepFeed(
            DeviceFeed(loaded, self._device, copying=self._copying), num_batches=self._accumulate_steps
        )
        raise_together(feed.failure(), what="start of an epoch")
        for of_step in feed:
            enter_phase(f"step {self.step + 1}")
            batches, on_device = zip(*of_step, strict=True)
            self.last_batch = batches[-1]
            learning_rate = self._set_learning_rate()
            faulty = self._untold_faults(batches)
            self._stragglers.begin_step(self.step + 1)
            with self._numerics.applied():
                outcome = self._train_on(batches, on_device, ahead=feed, has_faulty=any(faulty))
            if outcome.has_faulty_pictures:
                faulty = faulty.everywhere()
            if self._average is not None:
                self._average.update(self._model)
            self._position = self._position.after_step(num_steps_per_epoch=self._num_steps_per_epoch)
            data_seconds = feed.waited_seconds()
            self._stragglers.end_step(data_seconds=data_seconds)
            yield StepReport(
                epoch=epoch + 1,
                step=self.step,
                learning_rate=learning_rate,
                loss=sum(outcome.losses.values()),
                losses=outcome.losses,
                gradient_norm=outcome.gradient_norm,
                num_images=self._loader.num_images_per_step * len(batches),
                data_seconds=data_seconds,
                step_seconds=time.perf_counter() - started,
                peak_memory_bytes=peak_memory_bytes(self._device),
                broken_pictures=faulty.broken,
                damaged_pictures=faulty.damaged,
                lacks_next_batch=outcome.lacks_next_batch,
                stop_asked=outcome.stop_asked,
                stragglers=outcome.stragglers,
            )
            if outcome.lacks_next_batch:
                raise_together(feed.failure(), what="error of a process")
            started = time.perf_counter()

    def rehearse(self, batch: Batch) -> StepCost:
        """Make a step as the run would and forget it: afterwards everything is bit for bit as before.

        What is computed does not matter, even where it is not finite.  All processes of a group rehearse
        together, as they make a step.  Of many batches in a step two are made: the second one meets the
        gradients of the first, and no other needs more memory.

        Args:
            batch: Of which a step is made; none of the run's, perhaps; in host memory.

        Raises:
            RuntimeError: The step does not fit into memory.  What the trainer holds is no longer as before.
        """
        enter_phase("the rehearsal of a step")
        snapshot = Snapshot(self._model, self._optimiser, self._device)
        last_batch = self.last_batch
        num_batches, num_made = self._accumulate_steps, min(self._accumulate_steps, 2)
        # In a run the step's other batches lie there, and those of the next one.
        ahead = [batch.to(self._device) for _ in range(2 * num_batches - num_made)]
        make_state(self._optimiser)
        self._model.train()

        def make_step() -> None:
            batches = [batch] * num_made
            with suppress(NonFiniteLossError), self._numerics.applied():
                self._train_on(batches, [each.to(self._device) for each in batches])

        cost = measure(make_step, self._device)
        cost = replace(cost, seconds=cost.seconds * num_batches / num_made)
        del ahead
        snapshot.restore()
        self.last_batch, self.is_last_batch_suspect = last_batch, False
        return cost

    def abandon(self) -> None:
        """Free what the trainer holds on its device; it cannot be used any more."""
        self._optimiser.zero_grad(set_to_none=True)
        self._optimiser.state.clear()
        self._average = None
        self._model.to("cpu")

    def _set_learning_rate(self) -> float:
        part_of_epoch = self.step_in_epoch / self._num_steps_per_epoch
        learning_rate = self._schedule.learning_rate_at(
            step=self.step, num_epochs_done=self.num_finished_epochs + part_of_epoch
        )
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate * group["learning_rate_factor"]
        return learning_rate

    def _untold_faults(self, batches: Sequence[Batch]) -> _FaultyPictures:
        """What this process has to tell of its batches: damaged pictures come again in every epoch."""
        damaged = {fault.file_name: fault for batch in batches for fault in batch.damaged}
        untold = tuple(fault for name, fault in damaged.items() if name not in self._told_damaged)
        self._told_damaged.update(damaged)
        return _FaultyPictures(tuple(fault for batch in batches for fault in batch.broken), untold)

    def _train_on(
        self,
        batches: Sequence[Batch],
        on_device: Sequence[Batch],
        *,
        ahead: StepFeed | None = None,
        has_faulty: bool = False,
    ) -> _StepOutcome:
        """Make one step.

        The host waits for the device exactly once, when the losses' means, what the processes tell each other
        and the process's own losses are read as one tensor. That is between the backward pass and the update,
        so that a loss that is not finite never reaches the weights; the device idles only while the update is
        enqueued. Before it waits, the next step's batches are fetched. (An average of the weights waits once
        more after the update: `WeightAverage.update`.)

        Args:
            batches: Of the step, in host memory.
            on_device: The same on the device.
            ahead: Where the next batches come from; None where there are none.
            has_faulty: Whether this process has broken or damaged pictures to tell.
        """
        self._optimiser.zero_grad(set_to_none=True)
        losses = self._gradients.make(on_device)
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
        self._refuse_non_finite({**named, "gradient_norm": norm}, batches, own_losses=values[len(means) :])
        self._optimiser.step()
        flags = (share > 0 for share in shares)
        return _StepOutcome(named, norm, self._stragglers.take(times), *flags)

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
        self, value_by_name: Mapping[str, float], batches: Sequence[Batch], *, own_losses: Sequence[float]
    ) -> None:
        """Raise on every process alike where a mean is not finite: a mean with one bad part never is.

        Args:
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
                raise NonFiniteLossError(loss_name=name, value=value, step=self.step + 1)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly here: models, optimiser and position, tensors and plain types.

        The tensors are those in use, not copies: save them before the next step.
        """
        return {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "num_finished_epochs": self.num_finished_epochs,
            "step_in_epoch": self.step_in_epoch,
            "num_steps_per_epoch": self._num_steps_per_epoch,
            "num_images_per_step": self._num_images_per_step,
            **({} if self._average is None else self._average.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> PositionMoved | None:
        """Go on where another trainer stopped.

        With as many pictures a step and as many steps an epoch as there, over however many processes, the
        position is exactly the same.  With more or fewer it is moved to the same share of the epoch.

        Args:
            state: What `state_dict` gave there, on any device; other keys in it are left alone.

        Returns:
            How the position was moved; None where it was not.

        Raises:
            WeightsError: The state does not fit this model, optimiser or data.
        """
        try:
            position, moved = position_from(
                state,
                batch_size=self._num_images_per_step,
                num_steps_per_epoch=self._num_steps_per_epoch,
            )
            self._model.load_state_dict(state["model"])
            load_optimiser_state(self._optimiser, state["optimiser"])
            if self._average is not None:
                self._average.load_state_dict(state)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise WeightsError(
                f"the checkpoint does not fit this run ({reason}): resume with the spec it was trained with"
            ) from error
        self._position = position
        return moved
