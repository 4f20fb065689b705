"""Which parameters are not trained like the others, and how they differ."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.backbones.stages import Staged

GroupName = Literal["backbone", "norm", "bias"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """What multiplies the learning rate and the weight decay of some parameters."""

    learning_rate: float = 1.0
    weight_decay: float = 1.0

    def __mul__(self, other: "Factors") -> "Factors":
        """The factors of what is in two groups."""
        return Factors(
            learning_rate=self.learning_rate * other.learning_rate,
            weight_decay=self.weight_decay * other.weight_decay,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroups:
    """Parameters that are not trained like the others; one that is in several groups gets all their factors.

    Attributes:
        backbone: Everything in the model's ``backbone``.
        norm: Scales and shifts of batch norms of any kind and of group norms.
        bias: Biases of all other layers, but for those of what moves the taps of deformable convolutions, as
            in mmcv (``DefaultOptimWrapperConstructor``).
        stage_decay: Multiplies the learning rate of the backbone's last stage once, of the one before it
            twice, and so on: the layer-wise decay of BEiT (Bao et al. 2021, https://arxiv.org/abs/2106.08254),
            by stage as in mmdetection's ``LearningRateDecayOptimizerConstructor``, where the stem is a stage
            before the first; here it is in the first.
    """

    backbone: Factors = Factors()
    norm: Factors = Factors()
    bias: Factors = Factors()
    stage_decay: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedGroup:
    """Parameters that share their factors.

    Attributes:
        names: The groups with factors other than 1 that they are in, the backbone by its stage where stages
            differ; none for the parameters that are in no such group.
        factors: The product of these groups' factors.
        parameters: Those that require a gradient, in the model's order.
    """

    names: tuple[str, ...]
    factors: Factors
    parameters: list[nn.Parameter]

    @property
    def num_values(self) -> int:
        """Numbers in all of the group's tensors together."""
        return sum(parameter.numel() for parameter in self.parameters)


def group_parameters(model: nn.Module, groups: ParameterGroups) -> list[TrainedGroup]:
    """Sort a model's parameters that require a gradient by the groups that matter to them.

    Args:
        model: With ``stage_decay`` other than 1, its ``backbone`` has stages.
        groups: How they differ.

    Returns:
        The groups that are not empty, in the order of their first parameters; without factors other than 1 a
        single one that has all.
    """
    by_stage = _factors_by_stage(model, groups)
    found: dict[tuple[str, ...], TrainedGroup] = {}
    for parameter, names in _memberships(model):
        factors_by_name: dict[str, Factors] = {name: getattr(groups, name) for name in names}
        if parameter in by_stage:
            del factors_by_name["backbone"]
            name, factors = by_stage[parameter]
            factors_by_name = {name: factors, **factors_by_name}
        that_matter = {name: factors for name, factors in factors_by_name.items() if factors != Factors()}
        if parameter.requires_grad:
            product = prod(that_matter.values(), start=Factors())
            group = TrainedGroup(names=tuple(that_matter), factors=product, parameters=[])
            found.setdefault(group.names, group).parameters.append(parameter)
    return list(found.values())


def _factors_by_stage(model: nn.Module, groups: ParameterGroups) -> dict[nn.Parameter, tuple[str, Factors]]:
    """Name and factors of the backbone's stage that a parameter is in; nothing where stages are alike."""
    if groups.stage_decay == 1:
        return {}
    backbone = model.get_submodule("backbone")
    if not isinstance(backbone, Staged):
        raise ValueError(f"a stage_decay needs a backbone with stages, not a {type(backbone).__name__}")
    found = {}
    for number, stage in enumerate(backbone.stages, start=1):
        decay = groups.stage_decay ** (len(backbone.stages) + 1 - number)
        factors = groups.backbone * Factors(learning_rate=decay)
        for part in stage:
            found.update(dict.fromkeys(part.parameters(), (f"backbone stage {number}", factors)))
    return found


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
