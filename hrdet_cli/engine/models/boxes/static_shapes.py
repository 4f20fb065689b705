"""Where how many of something there are must stay unknown to the host."""

import torch
from torch import Tensor


def has_static_shapes(values: Tensor) -> bool:
    """Whether what is made of values has a shape that does not depend on them.

    It must on a GPU, which a step does not wait for, and in a compiled graph.
    """
    return values.is_cuda or (torch.compiler.is_compiling() and not torch.compiler.is_exporting())
