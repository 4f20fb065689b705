"""Threads that ask a store on behalf of their process, and what the end of a process has to know of them.

torch's client of a store waits for an answer without Python's lock and without a limit.  If the interpreter
ends meanwhile, Python ends the thread when the answer comes, by unwinding its stack (``pthread_exit``); that
meets C++ frames that allow no exception, and the process aborts after all its work was done.
"""

import threading
import time
from collections.abc import Callable, Iterable

_ELASTIC_NAME = "RendezvousKeepAliveTimer"
"""How torch elastic calls the thread that asks a launcher's store."""


class StoreThread(threading.Thread):
    """A thread whose target may be inside of a store when the process wants to end.

    Args:
        target: What it does; takes nothing.
        name: For debuggers.
    """

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)


def join_within(threads: Iterable[threading.Thread], *, seconds: float) -> None:
    """Wait for the end of threads, but no longer than this for all of them together."""
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(timeout=max(0.0, deadline - time.monotonic()))


def may_wait_for_a_store() -> bool:
    """Whether a thread may be waiting for a store's answer, so that the interpreter must not end."""
    return any(
        isinstance(thread, StoreThread) or thread.name.startswith(_ELASTIC_NAME)
        for thread in threading.enumerate()
    )
