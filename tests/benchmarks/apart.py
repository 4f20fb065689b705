"""Work in a process of its own."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Made = TypeVar("Made")


def run_apart(function: Callable[..., Made], *arguments: Any) -> Made:
    """What a function gives in a fresh process, which all that it needs is imported into anew.

    The highest memory of a process that has done something never falls again, and what was done before may
    change how long the next takes.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()
