"""Where a run stands, and where it goes on when its steps have become larger or smaller."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a run has come.

    ``step`` cannot be computed from the other two: a run resumed with another number of processes has another
    number of steps per epoch from there on, and its steps are still counted through.

    Attributes:
        step: Number of steps finished over the whole run.
        num_finished_epochs: Number of epochs trained to their end.
        step_in_epoch: Number of steps finished in the epoch after those.
    """

    step: int = 0
    num_finished_epochs: int = 0
    step_in_epoch: int = 0

    def after_step(self, *, num_steps_per_epoch: int) -> "Position":
        """The position one step further."""
        ends_epoch = self.step_in_epoch + 1 == num_steps_per_epoch
        return Position(
            step=self.step + 1,
            num_finished_epochs=self.num_finished_epochs + ends_epoch,
            step_in_epoch=0 if ends_epoch else self.step_in_epoch + 1,
        )


def position_from(
    state: Mapping[str, Any], *, batch_size: int, num_steps_per_epoch: int
) -> tuple[Position, "PositionMoved | None"]:
    """Where a trainer goes on, by what another one saved.

    Args:
        state: Its position, and what it had for the following two.
        batch_size: Pictures a step over all processes, from now on.
        num_steps_per_epoch: Likewise.

    Returns:
        The saved position in steps of now, and how they differ from the saved ones; None where they do not.
    """
    old_batch_size, old_num_steps = state["num_images_per_step"], state["num_steps_per_epoch"]
    position = Position(
        step=state["step"],
        num_finished_epochs=state["num_finished_epochs"],
        step_in_epoch=state["step_in_epoch"],
    )
    if (old_batch_size, old_num_steps) == (batch_size, num_steps_per_epoch):
        return position, None
    moved = PositionMoved(
        old_batch_size=old_batch_size,
        new_batch_size=batch_size,
        old_num_steps_per_epoch=old_num_steps,
        new_num_steps_per_epoch=num_steps_per_epoch,
        old_step_in_epoch=position.step_in_epoch,
        new_step_in_epoch=position.step_in_epoch * num_steps_per_epoch // old_num_steps,
    )
    return replace(position, step_in_epoch=moved.new_step_in_epoch), moved


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionMoved:
    """A run goes on with another number of pictures a step or in all, so its epoch is divided differently.

    The share of the epoch that is done stays the same, rounded down to whole steps. The order of the pictures
    depends on both numbers, so of this one epoch some pictures are seen twice and others not at all.

    Attributes:
        old_batch_size: Pictures a step over all processes, until now.
        new_batch_size: The same from now on.
        old_num_steps_per_epoch: Steps in an epoch, until now.
        new_num_steps_per_epoch: The same from now on.
        old_step_in_epoch: Steps finished in the epoch, counted in old steps.
        new_step_in_epoch: The same counted in new steps.
    """

    old_batch_size: int
    new_batch_size: int
    old_num_steps_per_epoch: int
    new_num_steps_per_epoch: int
    old_step_in_epoch: int
    new_step_in_epoch: int
