"""The learning rate as a function of step and epoch: nothing to store, nothing to restore."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSchedule:
    """Warm-up by step, then a constant rate that drops after some epochs.

    The classic detection schedule; "1x" on COCO is 12 epochs with drops after 8 and 11.

    Attributes:
        learning_rate: Rate between warm-up and first drop.
        warmup_steps: Number of steps before the full rate is reached; 0 starts with it.
        warmup_factor: Share of the full rate at the very first step.
        warmup_shape: With ``"linear"`` it rises step by step; ``"constant"`` keeps that share until the
            full rate begins.
        drop_epochs: Numbers of finished epochs after which the rate drops, each once.
        drop_factor: What the rate is multiplied with at each drop.
    """

    learning_rate: float
    warmup_steps: int
    warmup_factor: float
    drop_epochs: tuple[int, ...]
    drop_factor: float
    warmup_shape: Literal["linear", "constant"] = "linear"

    def learning_rate_at(self, *, step: int, epoch: int) -> float:
        """Rate to train a step with.

        Args:
            step: Number of steps finished before it over the whole run, so 0 for the first.
            epoch: Number of epochs finished before it.

        Returns:
            The rate. A drop inside the warm-up takes effect at once: the two factors multiply.
        """
        num_drops = sum(epoch >= drop for drop in self.drop_epochs)
        return self.learning_rate * self._warmup_at(step) * self.drop_factor**num_drops

    def _warmup_at(self, step: int) -> float:
        if step >= self.warmup_steps:
            return 1.0
        if self.warmup_shape == "constant":
            return self.warmup_factor
        return self.warmup_factor + (1.0 - self.warmup_factor) * step / self.warmup_steps
