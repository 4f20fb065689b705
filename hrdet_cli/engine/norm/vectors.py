"""Arithmetic on vectors of all channels that are normalised together, with few operators.

Vectors have some hundred elements, so an operator costs its call and not its work.  On a CPU the arithmetic
is therefore NumPy's, whose calls are cheaper than torch's, on the memory of the tensors; on other devices,
and where torch only takes note of operators, it is torch's.  What is written between :func:`gather` and
:func:`join` is for both: Python's operators and ``clip``.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.dlpack import from_dlpack

_NUMPY_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}


def gather(vectors: Sequence[Tensor], num_rows: int) -> tuple[Tensor, Any]:
    """Vectors end to end, to be sent and to be computed with.

    Args:
        vectors: ``(C,)`` each, of any dtypes; all together ``num_rows`` times T channels.
        num_rows: How many vectors of all channels they make.

    Returns:
        ``(num_rows * T,)`` float64 without a gradient, and ``(num_rows, T)``, a NumPy array or a tensor that
        shares its memory.
    """
    with torch.no_grad():
        if not _is_on_host(vectors[0]):
            vector = torch.cat([*vectors]).double()
            return vector, vector.view(num_rows, -1)
        values = np.empty(sum(len(vector) for vector in vectors))
        vector = torch.frombuffer(values, dtype=torch.float64)
        torch.cat([*vectors], out=vector)
    return vector, values.reshape(num_rows, -1)


def join(rows: Sequence[Any], dtype: torch.dtype, *, as_maps: bool = False) -> Tensor:
    """Rows end to end.

    Args:
        rows: ``(T,)`` each, as :func:`gather` gives them or made of these.
        dtype: Float32 or float64.
        as_maps: Give ``(len(rows) * T, 1, 1)``, whose parts broadcast over ``(N, C, H, W)``, and not
            ``(len(rows) * T,)``.
    """
    shape = (-1, 1, 1) if as_maps else (-1,)
    if isinstance(rows[0], Tensor):
        return torch.cat([*rows]).to(dtype).view(shape)
    values = np.concatenate(rows, dtype=_NUMPY_DTYPES[dtype], casting="same_kind")
    joined: Tensor = from_dlpack(values.reshape(shape))  # unlike from_numpy no operator
    return joined


def spread(values: Sequence[float | Tensor], sizes: Sequence[int], *, like: Tensor) -> Tensor:
    """A number of each norm for each of its channels, made on the device without a copy to it.

    Args:
        values: Python's numbers, or scalars on the device.
        sizes: Channels of each norm.
        like: Any tensor of the device.

    Returns:
        ``(T,)`` float64, not to be changed.
    """
    if _is_on_host(like):
        spread_out = np.repeat(np.array([float(value) for value in values]), sizes)
        return torch.frombuffer(spread_out, dtype=torch.float64)
    numbers = [value for value in values if not isinstance(value, Tensor)]
    if len(numbers) == len(values) and _has_memory(like):
        return _spread_numbers(tuple(numbers), tuple(sizes), like.device)
    parts = [
        value.double().expand(size)
        if isinstance(value, Tensor)
        else like.new_full((size,), value, dtype=torch.float64)
        for value, size in zip(values, sizes, strict=True)
    ]
    return torch.cat(parts)


@lru_cache(maxsize=1024)
def _spread_numbers(numbers: tuple[float, ...], sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Kept, for most steps have maps of the same sizes: made anew it costs a GPU a kernel for each norm."""
    return torch.cat(
        [
            torch.full((size,), number, dtype=torch.float64, device=device)
            for number, size in zip(numbers, sizes, strict=True)
        ]
    )


def silently() -> AbstractContextManager[object]:
    """Inside, NumPy makes infinities and NaN without a warning, as torch does."""
    return nullcontext() if torch.compiler.is_compiling() else np.errstate(all="ignore")


def _is_on_host(tensor: Tensor) -> bool:
    """Whether NumPy can have the memory of a tensor."""
    return tensor.device.type == "cpu" and _has_memory(tensor)


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is neither compiled nor a fake."""
    return not torch.compiler.is_compiling() and type(tensor) in (Tensor, Parameter)
