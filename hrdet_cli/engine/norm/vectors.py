"""Arithmetic on vectors of all channels that are normalised together, with few operators.

Vectors have some hundred elements, so an operator costs its call and not its work.  On a CPU the arithmetic
is therefore NumPy's, whose calls are cheaper than torch's, on the memory of the tensors; on other devices,
and where torch only takes note of operators, it is torch's.  What is written between :func:`rows_of` and
:func:`join` is for both: Python's operators and ``clip``.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

_NUMPY_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def rows_of(vector: Tensor, num_rows: int) -> Any:
    """So many vectors that lie end to end in one, as rows that share its memory.

    Args:
        vector: ``(num_rows * T,)``, needs no gradient.
        num_rows: How many.

    Returns:
        ``(num_rows, T)``, a NumPy array or a tensor.
    """
    if _is_on_host(vector):
        return vector.numpy().reshape(num_rows, -1)
    return vector.view(num_rows, -1)


def join(rows: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """Rows, or other vectors of one kind, end to end.

    Args:
        rows: ``(T,)`` each.
        dtype: Float32 or float64.
    """
    if isinstance(rows[0], Tensor):
        return torch.cat([*rows]).to(dtype)
    values = np.concatenate(rows, dtype=_NUMPY_DTYPES[dtype], casting="same_kind")
    return torch.frombuffer(values, dtype=dtype)


def spread(values: Sequence[float | Tensor], sizes: Sequence[int], *, like: Tensor) -> Tensor:
    """One number for each norm as one for each channel, made on the device without a copy to it.

    Args:
        values: Python's numbers, or scalars on the device.
        sizes: Channels of each norm.
        like: Any tensor of the device.

    Returns:
        ``(T,)`` float64.
    """
    if _is_on_host(like):
        numbers = np.repeat(np.array([float(value) for value in values]), sizes)
        return torch.frombuffer(numbers, dtype=torch.float64)
    parts = [
        value.double().expand(size)
        if isinstance(value, Tensor)
        else like.new_full((size,), value, dtype=torch.float64)
        for value, size in zip(values, sizes, strict=True)
    ]
    return torch.cat(parts)


def silently() -> AbstractContextManager[object]:
    """Inside, NumPy makes infinities and NaN without a warning, as torch does."""
    return nullcontext() if torch.compiler.is_compiling() else np.errstate(all="ignore")


def _is_on_host(tensor: Tensor) -> bool:
    """Whether NumPy can have the memory: of a CPU's tensor that is neither compiled nor a fake."""
    return not torch.compiler.is_compiling() and tensor.device.type == "cpu" and type(tensor) is Tensor
