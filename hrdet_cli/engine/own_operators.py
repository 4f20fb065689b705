"""Operators of our own, defined without torch's compiler.

``torch.library.custom_op`` wraps every kernel for the sake of the compiler, and the first call of one imports
that, which takes nearly as long as the import of torch. What it does otherwise is here.
"""

from collections.abc import Callable
from typing import Any

import torch


def define_operator(
    name: str, *, cpu: Callable[..., Any], cuda: Callable[..., Any], fake: Callable[..., Any]
) -> None:
    """Make ``torch.ops.hrdet.NAME``.

    Args:
        name: Of the operator.
        cpu: Computes on a CPU; its annotations are the operator's types. Its result shares no memory with its
            arguments, which it does not change.
        cuda: Computes on a GPU.
        fake: Makes a result of the same shape, dtype and layout without looking at values.
    """
    qualified = f"hrdet::{name}"
    torch.library.define(qualified, torch.library.infer_schema(cpu, mutates_args=()))
    for device_type, kernel in (("cpu", cpu), ("cuda", cuda)):
        torch.library.impl(qualified, device_type, kernel)
    torch.library.register_fake(qualified, fake)
