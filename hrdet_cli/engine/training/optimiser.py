"""Stochastic gradient descent, without surprises."""

import torch
from torch import nn


def build_sgd(model: nn.Module, *, momentum: float, weight_decay: float) -> torch.optim.SGD:
    """Build the optimiser for all parameters of a model that train.

    Weight decay acts on every one of them, scales, shifts and biases included, as in the recipes that the
    presets follow. Parameters with ``requires_grad`` False stay out: they are neither decayed nor moved.

    Args:
        model: Its parameters' ``requires_grad`` must be final and they must lie on the training device.
        momentum: Share of the last update that is added to the next.
        weight_decay: L2 coefficient, added to the gradient as ``weight_decay * parameter``.

    Returns:
        The optimiser, with a learning rate of 0: the schedule sets it before each step.

    Raises:
        ValueError: No parameter trains.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError(f"no parameter of this {type(model).__name__} trains: all have requires_grad False")
    return torch.optim.SGD(trained, lr=0.0, momentum=momentum, weight_decay=weight_decay)
