"""A thread in every process that notices when another one is gone, stuck, or has failed.

Each process writes once a second what it is doing into the group's store (`BeatBook`).  A collective that
waits too long, in the host or on the GPU, is then an error that names the process the others wait for, and a
process that fails elsewhere ends this one even while it waits inside a collective.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from torch.distributed import Store

from hrdet_cli.engine.distributed.activity import ACTIVITY, GPU_COLLECTIVES
from hrdet_cli.engine.distributed.beats import Beat, BeatBook, Overview
from hrdet_cli.engine.distributed.failure import FailureBoard, PeerError, failure_of
from hrdet_cli.engine.distributed.hang_evidence import HangEvidence
from hrdet_cli.engine.distributed.store_threads import StoreThread, join_within
from hrdet_cli.errors import HrdetError, LostProcessError

BEAT_SECONDS = 1.0
SILENCE_SECONDS = 60.0
"""A process that has not written for so long, while others wait for it, is taken for lost."""
LEAVE_SECONDS = 2.0
"""Given to a last request, when the watch is over; a thread that still waits then is left behind."""
GRACE_SECONDS = 10.0
"""Given to a process to end by itself after another one failed."""


class Watchdog:
    """Watches from when it is entered until it is left.

    Args:
        store: A connection of its own.
        board: Where failures are published.
        members: Name of each process's host, by rank.
        rank: This process.
        store_rank: The process that holds the store.
        timeout_seconds: A collective that takes longer is a hang.
        abort: Ends the process with an error; called in the watchdog's thread, must not return.
        evidence: Keeps what a hang leaves behind.
    """

    def __init__(
        self,
        *,
        store: Store,
        board: FailureBoard,
        members: Sequence[str],
        rank: int,
        store_rank: int,
        timeout_seconds: float,
        abort: Callable[[HrdetError], NoReturn],
        evidence: HangEvidence,
    ) -> None:
        self._evidence = evidence
        self._beats = BeatBook(store, rank=rank, size=len(members), store_rank=store_rank)
        self._board = board
        self._members = members
        self._rank = rank
        self._store_rank = store_rank
        self._timeout_seconds = timeout_seconds
        self._abort = abort
        self._is_over = threading.Event()
        self._threads = [
            StoreThread(self._watch, name="watchdog"),
            StoreThread(self._watch_store, name="watchdog of the store"),
        ]
        self._missing: tuple[int, ...] = ()
        self._num_rounds = 0
        self._is_ending = False

    def __enter__(self) -> "Watchdog":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        join_within(self._threads, seconds=LEAVE_SECONDS)

    def missing(self) -> str:
        """The processes not heard of for some beats, in words; empty where all are."""
        return ", ".join(map(self._name, self._missing))

    def _name(self, rank: int) -> str:
        return f"rank {rank} on {self._members[rank]}"

    def _watch(self) -> None:
        """Beat and look around; a store that does not answer is a lost host."""
        waiting_since, waiting_at = time.monotonic(), -1
        try:
            self._beats.open()
            while not self._is_over.wait(BEAT_SECONDS):
                self._beats.write()
                overview = self._beats.read()
                self._missing = () if overview is None else tuple(beat.rank for beat in overview.silent)
                self._num_rounds += 1
                self._end_with_others()
                if ACTIVITY.num_collectives != waiting_at:
                    waiting_since, waiting_at = time.monotonic(), ACTIVITY.num_collectives
                elif (error := self._diagnose(overview, time.monotonic() - waiting_since)) is not None:
                    self._is_ending = True
                    self._end_with_evidence(error)
        except RuntimeError as error:  # the store's connection
            self._is_ending = True
            self._missing = (self._store_rank,)
            if not self._is_over.wait(GRACE_SECONDS):
                reason = " ".join(str(error).split())
                self._abort(
                    LostProcessError(f"lost {self.missing()}, which holds the group's store ({reason:.120})")
                )

    def _watch_store(self) -> None:
        """A store whose process is frozen or cut off keeps whoever asks it waiting without an end.

        Counts in beats, not on the clock, since this process may have been frozen itself.
        """
        last_round, num_unanswered = -1, 0
        limit_seconds = min(self._timeout_seconds, SILENCE_SECONDS)
        while not self._is_over.wait(BEAT_SECONDS) and not self._is_ending:
            num_unanswered = num_unanswered + 1 if self._num_rounds == last_round else 0
            last_round = self._num_rounds
            if num_unanswered * BEAT_SECONDS > limit_seconds:
                holder = f"rank {self._store_rank} on {self._members[self._store_rank]}"
                self._abort(
                    LostProcessError(
                        f"{holder}, which holds the group's store, did not answer for {limit_seconds:.0f} s: "
                        f"it is frozen, or its node or network is gone; noticed in {ACTIVITY.phase}"
                    )
                )

    def _end_with_evidence(self, error: LostProcessError) -> None:
        """Tell the others, which then write what they have, and end with what is seen in all of it."""
        self._evidence.write()
        error = LostProcessError(f"{error}{self._evidence.where()}")
        self._board.publish(failure_of(error, rank=self._rank, host=self._members[self._rank]))
        self._abort(LostProcessError(f"{error}{self._evidence.finding()}"))

    def _end_with_others(self) -> None:
        """Once another process failed, the main thread has a little time to meet that error by itself."""
        failure = self._board.read()
        if failure is None:
            return
        self._is_ending = True
        if not failure.is_final:
            self._evidence.write()
        if self._is_over.wait(GRACE_SECONDS):
            return
        self._abort(PeerError(failure) if failure.is_final else LostProcessError(failure.message))

    def _diagnose(self, overview: Overview | None, waited_seconds: float) -> LostProcessError | None:
        """Who keeps this process waiting, once that can be told."""
        if overview is None:
            return None
        silent = [
            beat
            for beat in overview.silent
            if beat.rank != self._rank and beat.silent_seconds > SILENCE_SECONDS
        ]
        # Without a word of what is waited for, too: a GPU's host may be stuck anywhere in handing it work.
        if silent and waited_seconds > SILENCE_SECONDS:
            names = ", ".join(self._name(beat.rank) for beat in silent)
            return LostProcessError(
                f"{names}: not heard of for {silent[0].silent_seconds:.0f} s, last in {silent[0].phase}; the "
                f"process is frozen, or its node or network is gone. Noticed by rank {self._rank} in "
                f"{ACTIVITY.phase}"
            )
        if waited_seconds < self._timeout_seconds:
            return None
        return self._diagnose_wait(overview.last, waited_seconds)

    def _diagnose_wait(self, last: Sequence[Beat], waited_seconds: float) -> LostProcessError | None:
        """Which collective is not coming to an end, in the host or on the GPU, and who is not in it."""
        on_gpu, on_host = GPU_COLLECTIVES.first(), ACTIVITY.waiting_for
        if on_gpu is not None:
            number, phase = on_gpu.number, on_gpu.phase
            what = f"{on_gpu.what} on the GPU"
        elif on_host is not None:
            number, phase, what = ACTIVITY.num_collectives, ACTIVITY.phase, on_host
        else:
            return None  # it works by itself
        behind = [
            f"{self._name(beat.rank)}, last at collective {beat.num_collectives} in {beat.phase}"
            for beat in last
            if beat.num_collectives < number
        ]
        missing = "; ".join(behind) or "every process is in it: the network between them drops messages"
        return LostProcessError(
            f"waited {waited_seconds:.0f} s in the {what} (collective {number}, {phase}). Missing: {missing}"
        )
