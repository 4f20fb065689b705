"""The training loop: a generator of reports that can be left, saved and taken up again between any two."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.collectives import average_over_processes, mean_over_processes
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.training.reports import StepReport, peak_memory_bytes
from hrdet_cli.engine.training.schedule import StepSchedule
from hrdet_cli.errors import NonFiniteLossError, WeightsError


class StepLoader(Protocol):
    """Where the batches come from; a pure function of (epoch, step) for the resume to be exact."""

    @property
    def num_steps_per_epoch(self) -> int:
        """Number of batches in every epoch."""

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterable[Batch]:
        """Batches ``first_step`` (counted from 0) to the last of an epoch (counted from 0)."""


class Trainer:
    """Trains a model for a number of epochs and counts the steps.

    Typical use::

        while not trainer.is_finished:
            for report in trainer.train_epoch():
                ...  # draw, log, save or leave: a report means that its step is finished
            ...      # evaluate

    Args:
        model: On ``device``; ``model(images, targets)`` gives a dict of scalar losses, which are summed.
        optimiser: Holds the parameters that train; see `build_sgd`.
        schedule: Sets the learning rate of every step.
        loader: Gives the batches, in host memory.
        num_epochs: Number of epochs in the whole run.
        clip_norm: Gradients are scaled down so that their total L2 norm is at most this; None does not clip.
        device: Where the batches are copied to.
        autocast_dtype: Reduced precision for the forward pass; None computes in float32.

    Attributes:
        step: Number of steps finished so far over the whole run. Together with the loader's number of steps
            per epoch this is the position in the run.
        last_batch: The batch of the step last begun; after a `NonFiniteLossError` the one to look at.
    """

    def __init__(
        self,
        *,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: StepSchedule,
        loader: StepLoader,
        num_epochs: int,
        clip_norm: float | None,
        device: torch.device,
        autocast_dtype: torch.dtype | None,
    ) -> None:
        self._model = model
        self._optimiser = optimiser
        self._schedule = schedule
        self._loader = loader
        self._num_epochs = num_epochs
        self._clip_norm = clip_norm
        self._device = device
        self._autocast_dtype = autocast_dtype
        self.step = 0
        self.last_batch: Batch | None = None

    @property
    def num_steps(self) -> int:
        """Number of steps in the whole run."""
        return self._num_epochs * self._loader.num_steps_per_epoch

    @property
    def num_finished_epochs(self) -> int:
        """Number of epochs trained to their end."""
        return self.step // self._loader.num_steps_per_epoch

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are trained."""
        return self.step >= self.num_steps

    def train_epoch(self) -> Iterator[StepReport]:
        """Train the rest of the current epoch: all of it, or what a stop in its middle left.

        Yields:
            A report after each finished step. While the caller holds it the state is consistent and can be
            saved; leaving the generator there and calling this again goes on with the next step.

        Raises:
            NonFiniteLossError: A loss part or the gradient is NaN or infinite. The step is not finished: the
                weights and the optimiser are those of the step before (running statistics of
                normalisation layers have seen the batch).
        """
        if self.is_finished:
            return
        self._model.train()
        epoch, first_step = divmod(self.step, self._loader.num_steps_per_epoch)
        started = time.perf_counter()
        for batch in self._loader.batches(epoch, first_step=first_step):
            data_seconds = time.perf_counter() - started
            self.last_batch = batch
            learning_rate = self._set_learning_rate()
            losses, gradient_norm = self._train_on(batch)
            self.step += 1
            yield StepReport(
                epoch=epoch + 1,
                step=self.step,
                learning_rate=learning_rate,
                loss=sum(losses.values()),
                losses=losses,
                gradient_norm=gradient_norm,
                num_images=len(batch) * current_world().size,
                data_seconds=data_seconds,
                step_seconds=time.perf_counter() - started,
                peak_memory_bytes=peak_memory_bytes(self._device),
            )
            started = time.perf_counter()

    def _set_learning_rate(self) -> float:
        learning_rate = self._schedule.learning_rate_at(self.step, self._loader.num_steps_per_epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        return learning_rate

    def _train_on(self, batch: Batch) -> tuple[dict[str, float], float]:
        """Make one step and return its losses and gradient norm.

        The host waits for the device exactly once, when the losses and the norm are read as one tensor. That
        is between the backward pass and the update, so that a loss that is not finite never reaches the
        weights; the device idles only while the update and the next batch's copy are enqueued.
        """
        images, targets = batch.images.to(self._device), batch.targets.to(self._device)
        self._optimiser.zero_grad(set_to_none=True)
        with torch.autocast(
            self._device.type, dtype=self._autocast_dtype, enabled=self._autocast_dtype is not None
        ):
            loss_by_name: dict[str, Tensor] = self._model(images, targets)
        losses = torch.stack([loss.float() for loss in loss_by_name.values()])
        torch.autograd.backward(losses.sum())
        gradient_norm = self._clip_gradients()
        *values, norm = mean_over_processes(torch.cat([losses.detach(), gradient_norm[None]])).tolist()
        named = dict(zip(loss_by_name, values, strict=True))
        self._refuse_non_finite({**named, "gradient_norm": norm})
        self._optimiser.step()
        return named, norm

    def _clip_gradients(self) -> Tensor:
        """Average the gradients over all processes and scale them down to the clip norm.

        Returns:
            Their norm before, a scalar on the device.
        """
        parameters = [
            p for group in self._optimiser.param_groups for p in group["params"] if p.grad is not None
        ]
        gradients = [p.grad for p in parameters if p.grad is not None]
        average_over_processes(gradients)
        norm = nn.utils.get_total_norm(gradients)
        if self._clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self._clip_norm, norm)
        return norm

    def _refuse_non_finite(self, value_by_name: Mapping[str, float]) -> None:
        for name, value in value_by_name.items():
            if not math.isfinite(value):
                raise NonFiniteLossError(loss_name=name, value=value, step=self.step + 1)

    def state_dict(self) -> dict[str, Any]:
        """All that is needed to go on exactly here: model, optimiser and position, tensors and plain types.

        The tensors are those in use, not copies: save them before the next step.
        """
        return {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "num_steps_per_epoch": self._loader.num_steps_per_epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another trainer stopped.

        Args:
            state: What `state_dict` gave there, on any device; other keys in it are left alone.

        Raises:
            WeightsError: The state does not fit this model, optimiser or number of steps per epoch.
        """
        here = self._loader.num_steps_per_epoch
        try:
            if state["num_steps_per_epoch"] != here:
                raise WeightsError(
                    f"the checkpoint counts {state['num_steps_per_epoch']} steps an epoch, this run {here}; "
                    "resume with the data, the batch size and the number of processes it was trained with"
                )
            self._model.load_state_dict(state["model"])
            self._optimiser.load_state_dict(state["optimiser"])
            self.step = state["step"]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise WeightsError(
                f"the checkpoint does not fit this run ({reason}): resume with the spec it was trained with"
            ) from error
