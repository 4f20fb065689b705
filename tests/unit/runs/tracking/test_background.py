"""Trackers in their threads: what they get, and what they cannot do to a run."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from hrdet_cli.runs.tracking import background
from hrdet_cli.runs.tracking.background import BackgroundTrackers

STEP = {"kind": "step", "epoch": 1, "step": 7, "loss": 0.5, "losses": {"rpn_box": 0.25, "roi_box": None}}


@dataclass
class ListTracker:
    """Keeps what it gets."""

    got: list[object] = field(default_factory=list)

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        self.got.append((dict(scalars), step))

    def add_picture(self, name: str, file: Path, step: int) -> None:
        self.got.append((name, file, step))

    def close(self, *, has_failed: bool) -> None:
        self.got.append(f"closed, {has_failed=}")


class FailingTracker(ListTracker):
    """Fails at the second call."""

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        if self.got:
            raise SystemExit("no room left.\nmore lines")
        super().add_scalars(scalars, step)


def give(tracker: ListTracker) -> ListTracker:
    """Opens it."""
    return tracker


def test_all_get_everything_in_order_and_are_closed() -> None:
    first, second = ListTracker(), ListTracker()
    with BackgroundTrackers({"a": partial(give, first), "b": partial(give, second)}) as trackers:
        trackers.append(STEP)
        trackers.add_picture("sheet", Path("sheet.png"), 7)
    numbers = {"train/epoch": 1.0, "train/loss": 0.5, "train/losses/rpn_box": 0.25}
    assert first.got == [(numbers, 7), ("sheet", Path("sheet.png"), 7), "closed, has_failed=False"]
    assert second.got == first.got
    assert list(trackers.untold_failures()) == []


def test_an_error_of_the_run_reaches_them_and_a_stop_is_none() -> None:
    for error, told in ((ValueError(), True), (KeyboardInterrupt(), False), (GeneratorExit(), False)):
        tracker = ListTracker()
        with pytest.raises(type(error)), BackgroundTrackers({"a": partial(give, tracker)}):
            raise error
        assert tracker.got == [f"closed, has_failed={told}"]


def test_one_that_fails_is_left_out_and_told_once() -> None:
    sound, broken = ListTracker(), FailingTracker()

    def refuse() -> ListTracker:
        raise ConnectionError

    trackers = BackgroundTrackers(
        {"good": partial(give, sound), "bad": partial(give, broken), "absent": refuse}
    )
    for _ in range(3):
        trackers.append(STEP)
    trackers.close()
    assert list(trackers.untold_failures()) == [
        "run.trackers: bad failed: no room left. The run goes on without it",
        "run.trackers: absent failed: ConnectionError. The run goes on without it",
    ]
    assert list(trackers.untold_failures()) == []
    assert (len(sound.got), len(broken.got)) == (4, 1)


def test_one_that_hangs_neither_holds_the_run_nor_fills_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MAX_WAITING_CALLS", 3)
    is_over = threading.Event()

    class Hanging(ListTracker):
        def add_scalars(self, *_: object) -> None:
            is_over.wait()

    try:
        slow = BackgroundTrackers({"slow": Hanging}, closing_seconds=0.05)
        slow.append(STEP)
        slow.close()
        assert list(slow.untold_failures()) == [
            "run.trackers: slow did not end in time and is left behind. The run goes on without it"
        ]
        behind = BackgroundTrackers({"behind": Hanging}, closing_seconds=60)
        for _ in range(10):
            behind.append(STEP)
        behind.close()  # and waits no more for it
        (told,) = behind.untold_failures()
        assert told.startswith("run.trackers: behind has not taken in 3 lines and is given up")
    finally:
        is_over.set()
