"""Torch's optimisers without its compiler, whose import takes nearly as long as that of torch itself."""

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


def without_compiler(optimiser: type[Kind]) -> type[Kind]:
    """A kind of optimiser that computes the same and cannot be compiled.

    Torch wraps some methods of its optimisers for the sake of its compiler, and each wrapper imports that.
    Inside are the methods themselves; what a wrapper does to ``step`` without a compiler is ``no_grad``.

    Args:
        optimiser: One of torch's. It is not used with ``differentiable``.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimiser, name)) for name in wrapped}
    step = torch.no_grad()(inspect.unwrap(optimiser.step))
    return type(optimiser.__name__, (optimiser,), {**methods, "step": step})
