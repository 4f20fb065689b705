"""From spec to parameter groups, and what they are in words."""

from torch import nn

from hrdet_cli.engine.training.parameter_groups import (
    Factors,
    ParameterGroups,
    TrainedGroup,
    group_parameters,
)
from hrdet_cli.specs.optimisation import OptimisationSpec, ParameterGroupSpec


def build_parameter_groups(optimisation: OptimisationSpec) -> ParameterGroups:
    """Which parameters are trained with other rates and decays."""
    groups = optimisation.parameter_groups
    return ParameterGroups(
        backbone=_factors(groups.backbone),
        norm=_factors(groups.norm),
        bias=_factors(groups.bias),
        stage_decay=groups.backbone.stage_decay,
    )


def describe_parameter_groups(
    model: nn.Module, optimisation: OptimisationSpec, *, learning_rate: float
) -> tuple[str, ...]:
    """A line for each group of parameters; none where all train alike.

    Args:
        model: Before its optimiser is built, which takes the gradient from groups that do not move.
        optimisation: How it is trained.
        learning_rate: The rate after warm-up.
    """
    groups = group_parameters(model, build_parameter_groups(optimisation))
    if all(group.factors == Factors() for group in groups):
        return ()
    return tuple(_describe(group, optimisation, learning_rate=learning_rate) for group in groups)


def _factors(group: ParameterGroupSpec) -> Factors:
    return Factors(learning_rate=group.learning_rate_factor, weight_decay=group.weight_decay_factor)


def _describe(group: TrainedGroup, optimisation: OptimisationSpec, *, learning_rate: float) -> str:
    counted = f"{' and '.join(group.names) or 'others'}: {group.num_values:,} parameters"
    if group.factors.learning_rate == 0:
        return f"{counted} that do not move"
    return (
        f"{counted}, learning rate {learning_rate * group.factors.learning_rate:g}, "
        f"weight decay {optimisation.weight_decay * group.factors.weight_decay:g}"
    )
