"""Optimisers without surprises: stochastic gradient descent and AdamW."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hrdet_cli.engine.training.eager_optimisers import without_compiler
from hrdet_cli.engine.training.parameter_groups import ParameterGroups, group_parameters

_SGD, _ADAMW = without_compiler(torch.optim.SGD), without_compiler(torch.optim.AdamW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent with momentum; the decay is added to the gradient.

    Attributes:
        momentum: Share of the last update that is added to the next.
    """

    momentum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamW:
    """Adam with decoupled decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101).

    Attributes:
        betas: Shares of the averages of the gradient and of its square that stay at each step.
        epsilon: Added to the root of the latter, which divides the update.
    """

    betas: tuple[float, float]
    epsilon: float


def build_optimiser(
    model: nn.Module,
    rule: Sgd | AdamW,
    *,
    weight_decay: float,
    groups: ParameterGroups | None = None,
    is_fused: bool = False,
) -> torch.optim.Optimizer:
    """Build the optimiser for all parameters of a model that train.

    Weight decay acts on every one of them, scales, shifts and biases included, as in the recipes that the
    presets follow. Parameters with ``requires_grad`` False stay out: they are neither decayed nor moved.
    So do those of groups whose factor of the learning rate is 0, and they lose their ``requires_grad``: no
    gradient is computed for them, and none of it counts towards the clip norm.

    Args:
        model: Its parameters' ``requires_grad`` must be final and they must lie on the training device.
        rule: How they are moved.
        weight_decay: With SGD the L2 coefficient, added to the gradient as ``weight_decay * parameter``; with
            AdamW each step takes ``learning_rate * weight_decay * parameter`` away, whatever the gradient.
        groups: Parameters that get other rates and decays; None treats all alike.
        is_fused: Update all parameters in one kernel. It is the fastest on a GPU and no faster on a CPU, and
            wants gradients that lie in memory as their parameters do.

    Returns:
        The optimiser, with a learning rate of 0: the schedule sets it before each step, times each group's
        ``learning_rate_factor``.

    Raises:
        ValueError: No parameter trains.
    """
    trained = []
    for group in group_parameters(model, groups or ParameterGroups()):
        if group.factors.learning_rate == 0:
            for parameter in group.parameters:
                parameter.requires_grad_(False)
            continue
        trained.append(
            {
                "params": group.parameters,
                "weight_decay": weight_decay * group.factors.weight_decay,
                "learning_rate_factor": group.factors.learning_rate,
            }
        )
    if not trained:
        raise ValueError(f"no parameter of this {type(model).__name__} trains: all have requires_grad False")
    fused = True if is_fused else None
    if isinstance(rule, Sgd):
        return _SGD(trained, lr=0.0, momentum=rule.momentum, weight_decay=weight_decay, fused=fused)
    return _ADAMW(trained, lr=0.0, betas=rule.betas, eps=rule.epsilon, weight_decay=weight_decay, fused=fused)


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state that was saved on any device, laid out in memory as the parameters are on this one.

    Which kernel makes the steps stays as the optimiser was built.

    Raises:
        KeyError: It is no optimiser's.
        ValueError: It is that of other parameters, or of another optimiser, which torch does not notice.
    """
    own, saved = optimiser.param_groups, list(state["param_groups"])
    if len(saved) == len(own):
        saved = [{**group, "fused": ours.get("fused")} for group, ours in zip(saved, own, strict=True)]
    names = [_name_of(groups) for groups in (saved, own)]
    if names[0] != names[1]:
        raise ValueError(f"it is of {names[0]}, and this run's optimiser is {names[1]}")
    optimiser.load_state_dict({**state, "param_groups": saved})
    for parameter, of_parameter in optimiser.state.items():
        for name, value in of_parameter.items():
            if value is not None and value.shape == parameter.shape and value.stride() != parameter.stride():
                of_parameter[name] = torch.empty_like(parameter).copy_(value)


def _name_of(groups: list[dict[str, Any]]) -> str:
    """Whose groups of parameters these are."""
    return "AdamW" if any("betas" in group for group in groups) else "SGD"
