"""Signs of life between the launchers of a group, for what torch elastic does not notice.

A launcher whose network was cut waits for the rendezvous's store without an end, and one whose worker is
frozen waits for that, while the other nodes have long ended with an error.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from torch.distributed import Store

from hrdet_cli.engine.distributed.store_threads import StoreThread, join_within
from hrdet_cli.errors import HrdetError, LostProcessError

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 60.0
"""A store that does not answer for so long is gone with its node."""

LEAVE_SECONDS = 2.0
"""Given to a last request, when the node leaves; a thread that still waits then is left behind."""

MIN_BEATS = 5
"""However short the user's timeout is."""


class NodeLife:
    """Shows the others that this node lives, and ends it when they have gone.

    Args:
        store: The rendezvous's, on a connection of its own.
        number: Of this node, in the order in which nodes signed in.
        num_nodes: Nodes of the group.
        timeout_seconds: Given to this node's workers to end after another node has left.
        abort: Ends this process with an error; called in a thread, must not return.
    """

    def __init__(
        self,
        store: Store,
        *,
        number: int,
        num_nodes: int,
        timeout_seconds: float,
        abort: Callable[[HrdetError], NoReturn],
    ) -> None:
        self._store = store
        self._number = number
        self._num_nodes = num_nodes
        self._timeout_seconds = timeout_seconds
        self._abort = abort
        self._is_over = threading.Event()
        self._num_beats = 0
        self._farewell: str | None = None
        self._threads = [
            StoreThread(target, name="node life") for target in (self._show_life, self._watch_store)
        ]

    def start(self) -> None:
        """Begin, in threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, error: BaseException | None) -> None:
        """End; tells the others the error that ends this node, where there is one."""
        self._farewell = str(error) if isinstance(error, HrdetError) else None
        self._is_over.set()
        join_within(self._threads, seconds=LEAVE_SECONDS)

    def _show_life(self) -> None:
        try:
            self._beat_until_over()
            if self._farewell is not None:
                self._store.set(f"left/{self._number}", self._farewell)
        except RuntimeError:
            self._is_over.set()  # the connection is closed, which the main thread meets too

    def _beat_until_over(self) -> None:
        left_since: float | None = None
        while not self._is_over.wait(BEAT_SECONDS):
            self._num_beats += 1
            self._store.set(f"alive/{self._number}", f"{os.getpid()}-{self._num_beats}")
            reason = self._why_too_few_are_left()
            if reason is None:
                left_since = None
            elif left_since is None:
                left_since = time.monotonic()
            elif time.monotonic() - left_since > self._timeout_seconds:
                self._abort(
                    LostProcessError(f"another node left the run, and this one did not end: {reason}")
                )

    def _why_too_few_are_left(self) -> str | None:
        """What ended another node, unless a successor has signed in; waits for the store's answer."""
        num_signed_in = self._store.add("num-nodes", 0)
        keys = [f"left/{number}" for number in range(num_signed_in) if number != self._number]
        left = [key for key in keys if self._store.check([key])]
        if not left or num_signed_in - len(left) >= self._num_nodes:
            return None
        return self._store.get(left[-1]).decode()

    def _watch_store(self) -> None:
        """Count beats in which the store did not answer; not by the clock, as this process may have slept."""
        last_beat, num_unanswered = -1, 0
        limit_seconds = max(MIN_BEATS * BEAT_SECONDS, min(self._timeout_seconds, SILENCE_SECONDS))
        while not self._is_over.wait(BEAT_SECONDS):
            num_unanswered = num_unanswered + 1 if self._num_beats == last_beat else 0
            last_beat = self._num_beats
            if num_unanswered * BEAT_SECONDS > limit_seconds:
                self._abort(
                    LostProcessError(
                        f"the node that holds the rendezvous did not answer for {limit_seconds:.0f} s: it is "
                        "frozen, or it or the network is gone; start all nodes again with --resume"
                    )
                )
