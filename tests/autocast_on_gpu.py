"""Autocast as on a GPU, whose rules differ from a CPU's, for tensors without values."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def autocast_on_gpu() -> Iterator[None]:
    """As ``torch.autocast``, which wants a GPU to be there."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.set_autocast_dtype("cuda", before)
