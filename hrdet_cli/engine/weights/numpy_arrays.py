"""NumPy's arrays and types as pickles describe them, made into tensors without NumPy."""

import math
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

_DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "f2": torch.float16,
        "f4": torch.float32,
        "f8": torch.float64,
        "i1": torch.int8,
        "i2": torch.int16,
        "i4": torch.int32,
        "i8": torch.int64,
        "u1": torch.uint8,
        "b1": torch.bool,
    }
)
"""NumPy's codes of what weights consist of."""
_OF_THIS_MACHINE = ("<", "|", "=")
"""How NumPy calls little-endian order, that of a single byte, and the machine's own."""


@dataclass(slots=True)
class PickledType:
    """The type of an array's numbers.

    Attributes:
        code: NumPy's, such as ``f4``.
        order: That of a number's bytes, as NumPy calls it.
    """

    code: object
    order: object = "="

    def set_state(self, state: Any) -> None:
        """Take what the pickle says after the type is made."""
        self.order = state[1]

    def in_torch(self) -> torch.dtype:
        """The same type of torch's.

        Raises:
            pickle.UnpicklingError: There is none that weights have.
        """
        dtype = _DTYPES.get(self.code) if type(self.code) is str else None
        if dtype is None:
            raise pickle.UnpicklingError(f"an array of type {self.code!r:.20}")
        if self.order not in _OF_THIS_MACHINE:
            raise pickle.UnpicklingError(
                "an array whose bytes are in an order that this machine does not have"
            )
        return dtype


class PickledArray:
    """An array, which pickles make empty first.

    Attributes:
        tensor: What is in it; None before that is known.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor | None = None) -> None:
        self.tensor = tensor

    def set_state(self, state: Any) -> None:
        """Take shape, type, order of the elements and bytes."""
        _, shape, kind, is_fortran, content = state
        self.tensor = array_of(content, kind, shape, is_fortran=is_fortran is True)


def array_of(content: Any, kind: Any, shape: Any, *, is_fortran: bool) -> Tensor:
    """A tensor of an array's bytes.

    Args:
        content: The bytes; Python 2 wrote them as a text.
        kind: The type of the numbers.
        shape: Rows and so on.
        is_fortran: The first index runs fastest, not the last.

    Raises:
        pickle.UnpicklingError: These do not belong together.
    """
    if type(content) is str:
        content = content.encode("latin-1")
    is_shape = type(shape) is tuple and all(type(side) is int and side >= 0 for side in shape)
    if not isinstance(kind, PickledType) or not is_shape or type(content) not in (bytes, bytearray):
        raise pickle.UnpicklingError("an array without a type, a shape or bytes")
    dtype = kind.in_torch()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise pickle.UnpicklingError("an array with more or fewer bytes than its shape says")
    if not content:
        return torch.empty(shape, dtype=dtype)
    flat = torch.frombuffer(bytearray(content), dtype=dtype)
    return flat.view(shape[::-1]).permute(tuple(range(len(shape)))[::-1]) if is_fortran else flat.view(shape)
