"""The training loop: a generator of reports that can be left, saved and taken up again between any two."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.device_feed import DeviceFeed, copy_stream
from hrdet_cli.engine.distributed.activity import enter_phase
from hrdet_cli.engine.distributed.agreement import raise_together
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.faulty_pictures import FaultLog
from hrdet_cli.engine.training.optimiser import load_optimiser_state
from hrdet_cli.engine.training.position import Position, PositionMoved, position_from
from hrdet_cli.engine.training.rehearsal import Snapshot, StepCost, make_state, measure
from hrdet_cli.engine.training.reports import StepReport, peak_memory_bytes
from hrdet_cli.engine.training.schedule import Schedule
from hrdet_cli.engine.training.step_clock import StepClock
from hrdet_cli.engine.training.step_feed import StepFeed
from hrdet_cli.engine.training.step_gradients import Losses, StepGradients
from hrdet_cli.engine.training.step_maker import StepMaker
from hrdet_cli.engine.training.stragglers import StragglerWatch
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
        loader: Gives the batches.
        num_epochs: Number of epochs in the whole run.
        clip_norm: Gradients are scaled down so that their total L2 norm is at most this; None does not clip.
        device: Where the batches are, or are copied to.
        numerics: What each step computes in.
        stop_asked: Whether this process was asked to stop. It is called once a step and told to all processes
            along with the losses, so that they leave after the same step.
        average: Takes every finished step in; None keeps no average.
        losses: Computes what the model gives, with its parameters, by other means; None calls the model.
        accumulate_steps: Batches of each step, which counts as one batch of all their pictures; see
            `StepGradients`. What is left at the end of an epoch is a smaller step.
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
        self._device = device
        self._numerics = numerics
        self._copying = copy_stream(device)
        self._average = average
        self._accumulate_steps = accumulate_steps
        clock = StepClock(device)
        self._stragglers = StragglerWatch(current_world(), clock)
        self._maker = StepMaker(
            StepGradients(model, losses, device=device, numerics=numerics, clock=clock),
            optimiser=optimiser,
            clip_norm=clip_norm,
            stop_asked=stop_asked,
            clock=clock,
            stragglers=self._stragglers,
        )
        self._position = Position()
        self._faults = FaultLog()

    @property
    def last_batch(self) -> Batch | None:
        """The last batch of the step last begun, or what was wrong with it: see `StepMaker`."""
        return self._maker.last_batch

    @property
    def is_last_batch_suspect(self) -> bool:
        """Whether, after a `NonFiniteLossError`, ``last_batch`` is one to look at: see `StepMaker`."""
        return self._maker.is_last_batch_suspect

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
    def num_warmup_steps(self) -> int:
        """Steps of the whole run before the rate has its full value."""
        return self._schedule.warmup.num_steps

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
        for batches in feed:
            enter_phase(f"step {self.step + 1}")
            learning_rate = self._set_learning_rate()
            faulty = self._faults.untold(batches)
            self._stragglers.begin_step(self.step + 1)
            with self._numerics.applied():
                outcome = self._maker.make(self.step + 1, batches, ahead=feed, has_faulty=any(faulty))
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

    def rehearse(self, batch: Batch, *, makes_all: bool = False) -> StepCost:
        """Make a step as the run would and forget it: afterwards everything is bit for bit as before.

        What is computed does not matter, even where it is not finite.  All processes of a group rehearse
        together, as they make a step.  Of many batches in a step two are made: the second one meets the
        gradients of the first, and no other needs more memory.

        Args:
            batch: Of which a step is made; none of the run's, perhaps; anywhere.
            makes_all: Make all batches of a step, so that its messages can be counted.

        Raises:
            RuntimeError: The step does not fit into memory.  What the trainer holds is no longer as before.
        """
        enter_phase("the rehearsal of a step")
        snapshot = Snapshot(self._model, self._optimiser, self._device)
        last_batch = self.last_batch
        num_batches = self._accumulate_steps
        num_made = num_batches if makes_all else min(num_batches, 2)
        # In a run the step's other batches lie there, and those of the next one.
        ahead = [batch.to(self._device) for _ in range(2 * num_batches - num_made)]
        make_state(self._optimiser)
        self._model.train()

        def make_step() -> None:
            with suppress(NonFiniteLossError), self._numerics.applied():
                self._maker.make(self.step + 1, [batch.to(self._device) for _ in range(num_made)])

        try:
            cost = measure(make_step, self._device)
        finally:  # a batch that does not fit would stay on the device
            self._maker.last_batch, self._maker.is_last_batch_suspect = last_batch, False
        cost = replace(cost, seconds=cost.seconds * num_batches / num_made)
        del ahead
        snapshot.restore()
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
            "num_warmup_steps": self.num_warmup_steps,
            **({} if self._average is None else self._average.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> PositionMoved | None:
        """Go on where another trainer stopped.

        With as many pictures a step and as many steps an epoch as there, over however many processes, the
        position is exactly the same.  With more or fewer it is moved to the same share of the epoch.  The
        warm-up stays as long as it was there: a longer run does not begin to warm up once more.

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
        if "num_warmup_steps" in state:  # which older checkpoints do not have
            self._schedule = self._schedule.with_warmup_steps(state["num_warmup_steps"])
        return moved
