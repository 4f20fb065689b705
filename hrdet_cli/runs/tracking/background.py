"""Trackers work in threads of their own, so that a run neither waits for one nor ends with it."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Self

from hrdet_cli.runs.tracking.tracker import Tracker, scalars_of
from hrdet_cli.wording import shortened

CLOSING_SECONDS = 30.0
MAX_WAITING_CALLS = 10_000
"""A step makes one."""

_Call = Callable[[Tracker], None]


class BackgroundTrackers(AbstractContextManager["BackgroundTrackers"]):
    """The trackers of a run; a context manager that closes them.

    What one of them raises, be it as it is opened, ends that one alone: nothing more goes to it, and
    :meth:`untold_failures` says so once.

    Args:
        openers: What opens each, by name; called in its thread.
        closing_seconds: How long all of them together may take to end.
    """

    def __init__(
        self, openers: Mapping[str, Callable[[], Tracker]], *, closing_seconds: float = CLOSING_SECONDS
    ) -> None:
        self._trackers = [_BackgroundTracker(name, opener) for name, opener in openers.items()]
        self._closing_seconds = closing_seconds

    def append(self, line: Mapping[str, Any]) -> None:
        """Give a line of ``metrics.jsonl`` to all of them."""
        if self._trackers:
            scalars, step = scalars_of(line), line["step"]
            self._call(lambda tracker: tracker.add_scalars(scalars, step))

    def add_picture(self, name: str, file: Path, step: int) -> None:
        """Give a PNG to all of them."""
        self._call(lambda tracker: tracker.add_picture(name, file, step))

    def untold_failures(self) -> Iterator[str]:
        """Which trackers failed since this was asked last, and why."""
        for tracker in self._trackers:
            if tracker.failure is not None and not tracker.is_told:
                tracker.is_told = True
                yield f"run.trackers: {tracker.name} {tracker.failure}. The run goes on without it"

    def close(self, *, has_run_failed: bool = False) -> None:
        """Let all of them end what they have begun, for no longer than they may take."""
        for tracker in self._trackers:
            tracker.begin_to_close(has_run_failed=has_run_failed)
        ends_at = time.monotonic() + self._closing_seconds
        for tracker in self._trackers:
            tracker.wait(max(0.0, ends_at - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(has_run_failed=kind is not None and issubclass(kind, Exception))

    def _call(self, call: _Call) -> None:
        for tracker in self._trackers:
            tracker.call(call)


class _BackgroundTracker:
    """One of them.

    Attributes:
        name: As it is asked for.
        failure: Why it takes in nothing more; None while it does.
        is_told: Whether the user knows.
    """

    def __init__(self, name: str, opener: Callable[[], Tracker]) -> None:
        self.name = name
        self.failure: str | None = None
        self.is_told = False
        self._has_run_failed = False
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread = Thread(target=self._work, args=(opener,), name=f"tracker {name}", daemon=True)
        self._thread.start()

    def call(self, call: _Call) -> None:
        """Have it made later, unless the tracker has failed."""
        if self.failure is not None:
            return
        if self._calls.qsize() >= MAX_WAITING_CALLS:
            self.failure = f"has not taken in {MAX_WAITING_CALLS:,} lines and is given up"
            return
        self._calls.put(call)

    def begin_to_close(self, *, has_run_failed: bool) -> None:
        """No call comes any more."""
        self._has_run_failed = has_run_failed
        self._calls.put(None)

    def wait(self, seconds: float) -> None:
        """Until it has ended, but no longer than so many seconds, or at all where it was given up."""
        if self.failure is None:
            self._thread.join(seconds)
            if self._thread.is_alive():
                self.failure = "did not end in time and is left behind"

    def _work(self, opener: Callable[[], Tracker]) -> None:
        try:
            tracker = opener()
            while (call := self._calls.get()) is not None:
                call(tracker)
            tracker.close(has_failed=self._has_run_failed)
        except (Exception, SystemExit) as error:  # whatever another's program raises, the run goes on
            first_line = str(error).strip().partition("\n")[0].rstrip(".")
            self.failure = f"failed: {shortened(first_line, 400) or type(error).__name__}"
