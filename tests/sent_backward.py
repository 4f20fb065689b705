"""An operator whose backward pass sends something."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class SentBackward(torch.autograd.Function):
    """The identity; its backward pass sends the gradient."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total
