"""What this process is doing, told to the watchdog of every other process.

A collective that never ends says nothing by itself.  Each one is therefore counted and named here before it
starts; since all processes make the same collectives in the same order, the process with the lowest number
is the one the others wait for.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch

from hrdet_cli.engine.distributed.exchange_clock import EXCHANGES
from hrdet_cli.errors import LostProcessError


@dataclass(slots=True)
class Activity:
    """This process's position in the common order of collectives.

    Attributes:
        num_collectives: Collectives begun so far.
        waiting_for: The collective in progress, in words; None outside of one.
        phase: What goes on apart from that, such as ``"step 12"``; set by whoever knows.
    """

    num_collectives: int = 0
    waiting_for: str | None = None
    phase: str = "start"


ACTIVITY = Activity()
"""Of this process: like torch's default process group, which it describes, there is one."""


def enter_phase(phase: str) -> None:
    """Say what this process is about to do, such as ``"step 12"``, for the messages of the watchdog."""
    ACTIVITY.phase = phase


class GpuEvent(Protocol):
    """A place in a GPU's work, such as ``torch.cuda.Event``."""

    def query(self) -> bool:
        """Whether the GPU has come past it."""


@dataclass(frozen=True, slots=True)
class EnqueuedCollective:
    """A collective that was handed to the GPU.

    Attributes:
        number: Its place in the common order.
        what: In words.
        phase: What the process did then.
        event: Right behind it.
    """

    number: int
    what: str
    phase: str
    event: GpuEvent


class GpuCollectives:
    """The collectives that the GPU has not finished: there a process waits, wherever its host is stuck.

    The host goes on until it needs a result, perhaps inside an operator that says nothing of a collective.
    """

    def __init__(self) -> None:
        self._unfinished: deque[EnqueuedCollective] = deque()
        self._lock = threading.Lock()

    def add(self, what: str, event: GpuEvent) -> None:
        """Remember the collective that was counted last."""
        self.first()
        with self._lock:
            self._unfinished.append(EnqueuedCollective(ACTIVITY.num_collectives, what, ACTIVITY.phase, event))

    def first(self) -> EnqueuedCollective | None:
        """The first that is not finished; None where all are, or the GPU has failed.  Waits for nothing."""
        with self._lock:
            try:
                while self._unfinished and self._unfinished[0].event.query():
                    self._unfinished.popleft()
            except RuntimeError:  # of the GPU, which its next operation raises too
                self._unfinished.clear()
            return self._unfinished[0] if self._unfinished else None


GPU_COLLECTIVES = GpuCollectives()
"""Of this process's GPU."""


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Counts and names a place where all processes wait for each other, or for their GPUs.

    On a GPU collectives return at once, and it is the reading of a result that waits.

    Args:
        what: What is waited for, in words for an error message.
    """
    ACTIVITY.num_collectives += 1
    ACTIVITY.waiting_for = what
    try:
        yield
    finally:
        ACTIVITY.waiting_for = None


@contextmanager
def exchanging(what: str) -> Iterator[None]:
    """Names an exchange between processes where its beginning or its end fails.

    Args:
        what: In words for an error message.

    Raises:
        LostProcessError: The back end failed, which it does when a peer is gone.
    """
    try:
        yield
    except RuntimeError as error:
        reason = _reason_of(error)
        raise LostProcessError(f"the {what} failed in {ACTIVITY.phase}: {reason:.200}") from error


def _reason_of(error: RuntimeError) -> str:
    """What a back end says in a line; of NCCL, which comes to the point behind 200 characters, the point."""
    text = " ".join(str(error).split())
    _, _, point = text.rpartition("Last error: ")
    return f"NCCL: {point}" if point != text else text


@contextmanager
def collective(what: str) -> Iterator[None]:
    """Counts and names a collective, as `waiting_for` does.

    Raises:
        LostProcessError: The back end failed, which it does when a peer is gone.
    """
    with waiting_for(what):
        with exchanging(what):
            begun = EXCHANGES.begin()
            yield
            EXCHANGES.end(begun)
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            GPU_COLLECTIVES.add(what, event)
