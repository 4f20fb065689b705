"""From spec to schedule."""

from hrdet_cli.engine.training.schedule import CosineDecay, Schedule, StepDecay, Warmup
from hrdet_cli.specs.optimisation import CosineScheduleSpec, OptimisationSpec, StepScheduleSpec


def build_schedule(optimisation: OptimisationSpec, *, learning_rate: float, num_steps: int) -> Schedule:
    """The rate of every step of a run.

    Args:
        optimisation: How it is trained.
        learning_rate: The full rate.
        num_steps: Steps of the whole run.
    """
    warmup = Warmup(
        num_steps=optimisation.warmup_steps_of(num_steps),
        factor=optimisation.warmup_factor,
        shape=optimisation.warmup_shape,
    )
    return Schedule(learning_rate=learning_rate, warmup=warmup, decay=_decay(optimisation))


def _decay(optimisation: OptimisationSpec) -> StepDecay | CosineDecay | None:
    schedule = optimisation.schedule
    if isinstance(schedule, StepScheduleSpec):
        return StepDecay(drop_epochs=schedule.drop_epochs, drop_factor=schedule.drop_factor)
    if isinstance(schedule, CosineScheduleSpec):
        return CosineDecay(num_epochs=optimisation.num_epochs, final_factor=schedule.final_factor)
    return None
