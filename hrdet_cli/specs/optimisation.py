"""How the weights are changed."""

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from hrdet_cli.specs.base import Fraction, Spec


class ParameterGroupSpec(Spec):
    """How some parameters differ from the others."""

    learning_rate_factor: NonNegativeFloat = 1.0
    """Multiplies the learning rate; 0 leaves them as they are (but not the running statistics of norms: to
    freeze a backbone altogether there is `model.backbone.frozen_stages`)."""
    weight_decay_factor: NonNegativeFloat = 1.0
    """Multiplies the weight decay."""


class BackboneGroupSpec(ParameterGroupSpec):
    """How the backbone's parameters differ from the others."""

    stage_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Multiplies the learning rate of stage 4 once, of stage 3 twice, of stage 2 three times, of stage 1 and
    the stem four times: the nearer to the pixels, the slower. Stages are those of
    `model.backbone.frozen_stages`."""


class ParameterGroupsSpec(Spec):
    """Parameters that are not trained like the others; one that is in several groups gets all factors."""

    backbone: BackboneGroupSpec = BackboneGroupSpec()
    """Everything in the backbone."""
    norm: ParameterGroupSpec = ParameterGroupSpec()
    """Scales and shifts of normalisation layers."""
    bias: ParameterGroupSpec = ParameterGroupSpec()
    """Biases of convolutions and fully connected layers, but for those that move deformable ones' taps."""


class EmaSpec(Spec):
    """Exponential moving average of the weights, saved and evaluated beside the weights themselves."""

    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the average that stays at each step; 0.999 remembers about a thousand steps."""


class SgdSpec(Spec):
    """Stochastic gradient descent with momentum; the weight decay is added to the gradient."""

    kind: Literal["sgd"] = "sgd"
    """How the gradient moves the weights."""
    momentum: Fraction = 0.9
    """Share of the last update that is added to the next."""


Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamWSpec(Spec):
    """Adam, whose weight decay is decoupled: it takes (rate x decay) of each weight away at each step."""

    kind: Literal["adamw"]
    """How the gradient moves the weights."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Shares of the averages of the gradient and of its square that stay at each step."""
    epsilon: PositiveFloat = 1e-8
    """Added to the root of the latter average, which divides the update."""


OptimiserSpec = Annotated[SgdSpec | AdamWSpec, Field(discriminator="kind")]
"""Every kind of optimiser, the default kind first."""


class StepScheduleSpec(Spec):
    """A rate that drops after some epochs."""

    kind: Literal["steps"] = "steps"
    """How the rate falls."""
    drop_epochs: tuple[PositiveInt, ...] = (8, 11)
    """The rate is multiplied by `drop_factor` after each of these epochs."""
    drop_factor: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of each drop."""


class CosineScheduleSpec(Spec):
    """A rate that falls step by step along half a cosine, from the first step of the run to the last."""

    kind: Literal["cosine"]
    """How the rate falls."""
    final_factor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rate that is left at the end of the run."""


class ConstantScheduleSpec(Spec):
    """A rate that stays."""

    kind: Literal["constant"]
    """How the rate falls: not at all."""


ScheduleSpec = Annotated[
    StepScheduleSpec | CosineScheduleSpec | ConstantScheduleSpec, Field(discriminator="kind")
]
"""Every kind of schedule, the default kind first."""


class OptimisationSpec(Spec):
    """The optimiser, and the learning rate with its warm-up and schedule."""

    accumulate_steps: PositiveInt = 1
    """Batches whose gradients are added up before the weights move, as if they were one of all their
    pictures: losses are divided by counts over all of them, for which each batch is looked at once without a
    gradient first. But batch norms see each batch by itself."""
    base_learning_rate: PositiveFloat = 0.02
    """Learning rate at `base_batch_size` pictures a step."""
    base_batch_size: PositiveInt = 16
    """Pictures a step, over all processes, that `base_learning_rate` belongs to."""
    learning_rate_scaling: Literal["linear", "square-root", "none"] = "linear"
    """`linear` multiplies the rate by (pictures a step) / (base batch size), `square-root` by its root;
    `none` takes it as it is."""
    optimiser: OptimiserSpec = SgdSpec()
    """How the gradient moves the weights."""
    weight_decay: NonNegativeFloat = 1e-4
    """Applied to every trained parameter, norms and biases included, times its group's factor."""
    parameter_groups: ParameterGroupsSpec = ParameterGroupsSpec()
    """Other learning rates and weight decays for some parameters."""
    ema: EmaSpec | None = None
    """Keep an average of the weights too; null keeps none."""
    clip_norm: PositiveFloat | None = 35.0
    """Largest L2 norm of the whole gradient; null does not clip."""
    num_epochs: PositiveInt = 12
    """Passes over the training pictures."""
    schedule: ScheduleSpec = StepScheduleSpec()
    """How the rate falls after, and during, the warm-up."""
    warmup_steps: NonNegativeInt = 500
    """Steps before the rate has its full value."""
    max_warmup_share: Fraction | None = None
    """Largest share of the run's steps that the warm-up takes: a longer one, as on few pictures, is cut to
    it; null never cuts."""
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    """Share of the full rate at the first step."""
    warmup_shape: Literal["linear", "constant"] = "linear"
    """Whether the rate rises step by step from that share, or keeps it during the warm-up (constant)."""

    @property
    def drop_epochs(self) -> tuple[int, ...]:
        """Epochs after which the rate drops; none with another schedule than steps."""
        return self.schedule.drop_epochs if isinstance(self.schedule, StepScheduleSpec) else ()

    def num_steps_of(self, num_batches: int) -> int:
        """Steps that an epoch of so many batches has; the last one may have fewer than the others."""
        return -(-num_batches // self.accumulate_steps)

    def warmup_steps_of(self, num_steps: int) -> int:
        """Steps of the warm-up of a run of ``num_steps``."""
        if self.max_warmup_share is None:
            return self.warmup_steps
        return min(self.warmup_steps, int(self.max_warmup_share * num_steps))

    def learning_rate_for(self, batch_size: int) -> float:
        """The learning rate at ``batch_size`` pictures a step over all processes."""
        if self.learning_rate_scaling == "none":
            return self.base_learning_rate
        if self.learning_rate_scaling == "square-root":
            return self.base_learning_rate * math.sqrt(batch_size / self.base_batch_size)
        return self.base_learning_rate * batch_size / self.base_batch_size
