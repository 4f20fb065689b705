"""Copies of what a trainer holds, which later steps do not change."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def copy_to_host(value: Any) -> Any:
    """A copy of nested dicts, lists and tuples, whose tensors are copied into host memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copy_to_host(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_to_host(item) for item in value]
    if isinstance(value, tuple):
        return tuple(copy_to_host(item) for item in value)
    return value
