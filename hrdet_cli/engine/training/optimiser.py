"""Stochastic gradient descent, without surprises, and which parameters it treats in another way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.models.backbones.deformable import DeformableConv

GroupName = Literal["backbone", "norm", "bias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What multiplies the learning rate and the weight decay of some parameters."""

    learning_rate: float = 1.0
    weight_decay: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroups:
    """Parameters that are not trained like the others; one that is in several groups gets all their factors.

    Attributes:
        backbone: Everything in the model's ``backbone``.
        norm: Scales and shifts of batch norms of any kind and of group norms.
        bias: Biases of all other layers, but for those of what moves the taps of deformable convolutions, as
            in mmcv (``DefaultOptimWrapperConstructor``).
    """

    backbone: Factors = Factors()
    norm: Factors = Factors()
    bias: Factors = Factors()


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGroup:
    """Parameters that share their factors.

    Attributes:
        names: The groups with factors other than 1 that they are in; none for the parameters that are in no
            such group.
        factors: The product of these groups' factors.
        parameters: Those that require a gradient, in the model's order.
    """

    names: tuple[GroupName, ...]
    factors: Factors
    parameters: list[nn.Parameter]

    @property
    def num_values(self) -> int:
        """Numbers in all of the group's tensors together."""
        return sum(parameter.numel() for parameter in self.parameters)


def group_parameters(model: nn.Module, groups: ParameterGroups) -> list[TrainedGroup]:
    """Sort a model's parameters that require a gradient by the groups that matter to them.

    Returns:
        The groups that are not empty, in the order of their first parameters; without factors other than 1 a
        single one that has all.
    """
    found: dict[tuple[GroupName, ...], list[nn.Parameter]] = {}
    for parameter, names in _memberships(model):
        if parameter.requires_grad:
            that_matter = tuple(name for name in names if getattr(groups, name) != Factors())
            found.setdefault(that_matter, []).append(parameter)
    return [
        TrainedGroup(names=names, factors=_product(names, groups), parameters=parameters)
        for names, parameters in found.items()
    ]


def build_sgd(
    model: nn.Module,
    *,
    momentum: float,
    weight_decay: float,
    groups: ParameterGroups | None = None,
    is_fused: bool = False,
) -> torch.optim.SGD:
    """Build the optimiser for all parameters of a model that train.

    Weight decay acts on every one of them, scales, shifts and biases included, as in the recipes that the
    presets follow. Parameters with ``requires_grad`` False stay out: they are neither decayed nor moved.
    So do those of groups whose factor of the learning rate is 0, and they lose their ``requires_grad``: no
    gradient is computed for them, and none of it counts towards the clip norm.

    Args:
        model: Its parameters' ``requires_grad`` must be final and they must lie on the training device.
        momentum: Share of the last update that is added to the next.
        weight_decay: L2 coefficient, added to the gradient as ``weight_decay * parameter``.
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
    return torch.optim.SGD(
        trained, lr=0.0, momentum=momentum, weight_decay=weight_decay, fused=True if is_fused else None
    )


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load a state that was saved on any device, laid out in memory as the parameters are on this one.

    Which kernel makes the steps stays as the optimiser was built.

    Raises:
        KeyError: It is no optimiser's.
        ValueError: It is that of other parameters.
    """
    kernels = [group.get("fused") for group in optimiser.param_groups]
    optimiser.load_state_dict(dict(state))
    for group, is_fused in zip(optimiser.param_groups, kernels, strict=True):
        group["fused"] = is_fused
    for parameter, of_parameter in optimiser.state.items():
        for name, value in of_parameter.items():
            if value is not None and value.shape == parameter.shape and value.stride() != parameter.stride():
                of_parameter[name] = torch.empty_like(parameter).copy_(value)


def _memberships(model: nn.Module) -> Iterator[tuple[nn.Parameter, tuple[GroupName, ...]]]:
    """Each parameter once, in the order of ``model.parameters()``, with the groups it is in."""
    seen: set[nn.Parameter] = set()
    moving = {module.conv_offset for module in model.modules() if isinstance(module, DeformableConv)}
    for path, module in model.named_modules():
        is_norm = isinstance(module, _BatchNorm | nn.GroupNorm)
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            names: list[GroupName] = []
            if path.partition(".")[0] == "backbone":
                names.append("backbone")
            if is_norm:
                names.append("norm")
            elif name == "bias" and module not in moving:
                names.append("bias")
            yield parameter, tuple(names)


def _product(names: tuple[GroupName, ...], groups: ParameterGroups) -> Factors:
    learning_rate = weight_decay = 1.0
    for name in names:
        factors: Factors = getattr(groups, name)
        learning_rate *= factors.learning_rate
        weight_decay *= factors.weight_decay
    return Factors(learning_rate=learning_rate, weight_decay=weight_decay)
