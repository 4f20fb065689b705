"""The learning rate as a function of the position.

A run stores no more of it than the length of its warm-up, which a longer run keeps.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """The beginning of a run, with a share of the rate.

    Attributes:
        num_steps: Number of steps before the full rate is reached; 0 starts with it.
        factor: Share of the full rate at the very first step.
        shape: With ``"linear"`` it rises step by step; ``"constant"`` keeps that share until the full rate
            begins.
    """

    num_steps: int
    factor: float
    shape: Literal["linear", "constant"] = "linear"

    def share_at(self, step: int) -> float:
        """Share of the rate, in (0, 1], after ``step`` finished steps."""
        if step >= self.num_steps:
            return 1.0
        if self.shape == "constant":
            return self.factor
        return self.factor + (1.0 - self.factor) * step / self.num_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecay:
    """A rate that drops after some epochs; "1x" on COCO is 12 epochs with drops after 8 and 11.

    Attributes:
        drop_epochs: Numbers of finished epochs after which the rate drops, each once.
        drop_factor: What the rate is multiplied with at each drop.
    """

    drop_epochs: tuple[int, ...]
    drop_factor: float

    def share_at(self, num_epochs_done: float) -> float:
        """Share of the rate, in (0, 1], when so many epochs are done."""
        num_drops = sum(num_epochs_done >= drop for drop in self.drop_epochs)
        return self.drop_factor**num_drops


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineDecay:
    """A rate that falls step by step along half a cosine (Loshchilov and Hutter 2017, SGDR, equation 5).

    It falls from the first step of the run on, the warm-up's included, as detectron2's ``WarmupCosineLR``.

    Attributes:
        num_epochs: Epochs of the whole run, at whose end it is at its lowest.
        final_factor: Share of the rate there.
    """

    num_epochs: int
    final_factor: float

    def share_at(self, num_epochs_done: float) -> float:
        """Share of the rate, from 1 to ``final_factor``, when so many epochs are done."""
        cosine = math.cos(math.pi * num_epochs_done / self.num_epochs)
        return self.final_factor + (1.0 - self.final_factor) * 0.5 * (1.0 + cosine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A warm-up by steps, and a decay by epochs and their parts.

    A run that goes on with more or fewer pictures a step has other numbers of steps and the same epochs, so
    that the decay does not notice.

    Attributes:
        learning_rate: The full rate.
        warmup: How the run begins.
        decay: How the rate falls; None keeps it.
    """

    learning_rate: float
    warmup: Warmup
    decay: StepDecay | CosineDecay | None

    def learning_rate_at(self, *, step: int, num_epochs_done: float) -> float:
        """Rate to train a step with.

        Args:
            step: Number of steps finished before it over the whole run, so 0 for the first.
            num_epochs_done: Epochs finished before it, with the part of its own that is done.

        Returns:
            The rate. A decay inside the warm-up takes effect at once: the two shares multiply.
        """
        share = 1.0 if self.decay is None else self.decay.share_at(num_epochs_done)
        return self.learning_rate * self.warmup.share_at(step) * share

    def with_warmup_steps(self, num_steps: int) -> "Schedule":
        """The same with another length of the warm-up."""
        return replace(self, warmup=replace(self.warmup, num_steps=num_steps))
