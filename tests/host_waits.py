"""What torch makes of each wait of the host for a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch


@contextmanager
def host_waits_are(what: Literal["warn", "error"]) -> Iterator[None]:
    """Inside, a wait is a warning or an error; what was begun before is waited for first."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode(what)
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
