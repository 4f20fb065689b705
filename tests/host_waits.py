"""What torch makes of each wait of the host for a GPU."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


@contextmanager
def host_waits_are(what: Literal["warn", "error"]) -> Iterator[None]:
    """Inside, a wait is a warning or an error; what was begun before is waited for first."""
    torch.cuda.synchronize()
    _set_mode(what)
    try:
        yield
    finally:
        _set_mode("default")


def _set_mode(mode: Literal["default", "warn", "error"]) -> None:
    """Torch warns once a process that this is a prototype, which is an error in tests."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode(mode)
