"""Batch norms that become part of the convolutions in front of them, for detection alone.

A batch norm that has its statistics multiplies each channel by a number and adds another one. A convolution
does that in passing, if its weights are multiplied and it has a bias.
"""

from copy import copy
from itertools import pairwise
from typing import TypeGuard, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.norm.fixed import factor_of

Network = TypeVar("Network", bound=nn.Module)
Conv = TypeVar("Conv", bound=nn.Conv2d)


@torch.no_grad()
def fold_norms(network: Network) -> Network:
    """A network that puts out what another one does in evaluation mode, up to rounding, with fewer norms.

    A norm is that of the convolution which its owner has registered right before it, or which has it as its
    ``norm``, as everywhere in this package. Group norms, batch norms without running statistics and those
    behind deformable convolutions stay what they are.

    Args:
        network: Is left as it is.

    Returns:
        A copy of its modules. It shares all tensors but those of convolutions that have taken a norm in,
        which are what the network's are now.
    """
    children = {
        name: None if child is None else fold_norms(child) for name, child in network._modules.items()
    }
    for (conv_name, conv), (norm_name, norm) in pairwise(list(children.items())):
        if isinstance(conv, nn.Conv2d) and _can_be_folded(norm):
            children |= {conv_name: _with_norm(conv, norm), norm_name: nn.Identity()}
    norm = children.get("norm")
    if isinstance(network, nn.Conv2d) and _can_be_folded(norm):
        return _with_children(_with_norm(network, norm), {**children, "norm": nn.Identity()})
    return _with_children(network, children)


def _can_be_folded(norm: nn.Module | None) -> TypeGuard[_BatchNorm]:
    return isinstance(norm, _BatchNorm) and norm.running_var is not None


def _with_norm(conv: Conv, norm: _BatchNorm) -> Conv:
    """A copy of a convolution that does what the norm behind it does."""
    mean, factor = norm.get_buffer("running_mean"), factor_of(norm)
    shift = -mean if conv.bias is None else conv.bias - mean
    bias = shift * factor if not norm.affine else torch.addcmul(norm.bias, shift, factor)
    twin = copy(conv)
    twin._parameters = {
        "weight": nn.Parameter(conv.weight * factor[:, None, None, None], requires_grad=False),
        "bias": nn.Parameter(bias, requires_grad=False),
    }
    return twin


def _with_children(module: Network, children: dict[str, nn.Module | None]) -> Network:
    twin = copy(module)
    twin._modules = children
    return twin
