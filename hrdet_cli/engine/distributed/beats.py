"""What every process of a group is doing, kept in the group's store.

Each process writes a *beat* a second.  The process that holds the store reads all of them in one request and
writes an *overview*, which the others read.  With W processes these are 2 W + 2 requests a second, and the
overview is no longer for many processes than for a few.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from torch.distributed import Store

from hrdet_cli.engine.distributed.activity import ACTIVITY

NUM_LISTED = 8
"""Processes in each list of an overview: nobody reads more names in a message."""
NOTICED_SECONDS = 4.0
"""A process that has not written for so long is among the silent ones."""

_OVERVIEW_KEY = "overview"


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process wrote last.

    Attributes:
        rank: The process.
        num_collectives: As in `Activity`; likewise ``waiting_for`` and ``phase``.
        silent_seconds: For how long it has not written anything new.
    """

    rank: int
    num_collectives: int
    waiting_for: str | None
    phase: str
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The processes that others may be waiting for, at most `NUM_LISTED` of each kind.

    Attributes:
        last: Those with the fewest collectives, the fewest first.
        silent: Those not heard of for `NOTICED_SECONDS`, the longest first.
        holder: The process that holds the store and wrote this.
    """

    last: tuple[Beat, ...]
    silent: tuple[Beat, ...]
    holder: Beat


class BeatBook:
    """Beats and overview in a store; to be used by one thread.

    Args:
        store: Each method but `open` asks it at most three times.
        rank: This process.
        size: Number of processes.
        store_rank: The process that holds the store.
    """

    def __init__(self, store: Store, *, rank: int, size: int, store_rank: int) -> None:
        self._store = store
        self._rank = rank
        self._keys = [f"beat/{number}" for number in range(size)]
        self._is_holder = rank == store_rank
        self._num_beats = 0
        self._changes: dict[str, tuple[bytes, float]] = {}
        self._is_open = False

    def open(self) -> None:
        """Let the holder put a first beat in the place of each process that has written none yet."""
        if self._is_holder:
            for key in self._keys:
                if not self._store.check([key]):
                    self._store.set(key, json.dumps([0, None, "start", 0]))

    def write(self) -> None:
        """Write what this process does; the holder also writes what all do."""
        self._num_beats += 1
        beat = [ACTIVITY.num_collectives, ACTIVITY.waiting_for, ACTIVITY.phase, self._num_beats]
        self._store.set(self._keys[self._rank], json.dumps(beat))
        if self._is_holder:
            overview = _summarise(self._read_beats(), holder=self._rank)
            self._store.set(_OVERVIEW_KEY, json.dumps([asdict(overview), self._num_beats]))

    def read(self) -> Overview | None:
        """The last overview; None where the holder has not written any.

        One that does not change any more says that its holder is silent.
        """
        if not self._is_open and not self._store.check([_OVERVIEW_KEY]):
            return None
        self._is_open = True
        text = self._store.get(_OVERVIEW_KEY)
        document, _ = json.loads(text)
        holder = Beat(
            **{**document["holder"], "silent_seconds": self._unchanged_seconds(_OVERVIEW_KEY, text)}
        )
        if holder.silent_seconds > NOTICED_SECONDS:
            return Overview(last=(), silent=(holder,), holder=holder)
        last, silent = (tuple(Beat(**beat) for beat in document[name]) for name in ("last", "silent"))
        return Overview(last=last, silent=silent, holder=holder)

    def _read_beats(self) -> list[Beat]:
        beats = []
        for rank, text in enumerate(self._store.multi_get(self._keys)):
            num_collectives, waiting_for, phase, _ = json.loads(text)
            silent_seconds = self._unchanged_seconds(self._keys[rank], text)
            beats.append(Beat(rank, num_collectives, waiting_for, phase, silent_seconds))
        return beats

    def _unchanged_seconds(self, key: str, text: bytes) -> float:
        now = time.monotonic()
        before, since = self._changes.get(key, (b"", now))
        if text != before:
            since = now
        self._changes[key] = (text, since)
        return now - since


def _summarise(beats: Iterable[Beat], *, holder: int) -> Overview:
    beats = tuple(beats)
    silent = sorted(
        (beat for beat in beats if beat.silent_seconds > NOTICED_SECONDS),
        key=lambda beat: -round(beat.silent_seconds),
    )
    last = sorted(beats, key=lambda beat: beat.num_collectives)
    return Overview(last=tuple(last[:NUM_LISTED]), silent=tuple(silent[:NUM_LISTED]), holder=beats[holder])
