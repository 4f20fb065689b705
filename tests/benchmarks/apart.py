"""Work in a process of its own."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar
from unittest.mock import patch

Made = TypeVar("Made")
_GIVE_BACK_AT_ONCE = {"MALLOC_MMAP_THRESHOLD_": "32768"}
"""Has glibc's allocator give back to the system what is freed, but for what is smaller."""


def run_apart(function: Callable[..., Made], *arguments: Any) -> Made:
    """What a function gives in a fresh process, which all that it needs is imported into anew.

    The highest memory of a process that has done something never falls again, and what was done before may
    change how long the next takes.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def measure_memory_apart(function: Callable[..., float], *arguments: Any) -> float:
    """What a function says of its process's highest memory, where that is what lives at one time.

    Elsewhere what the allocator keeps for later counts, too, which is another tenth from run to run.
    """
    with patch.dict(os.environ, _GIVE_BACK_AT_ONCE):
        return run_apart(function, *arguments)
