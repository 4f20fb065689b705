import time
from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.device_feed import DeviceFeed, copy_stream
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.errors import DataError

CPU = torch.device("cpu")
SECONDS = 0.03


def batch_of(number: int) -> Batch:
    return Batch(
        ImageBatch(
            torch.full((1, 3, 2, 2), number, dtype=torch.uint8), torch.full((1, 2), 2), torch.zeros(1)
        ),
        Targets(torch.zeros(1, 8, 4), torch.zeros(1, 8), torch.zeros(1, 8)),
        (),
    )


class Batches:
    """Numbered batches; notes when each is taken."""

    def __init__(
        self, count: int, taken: list[str], *, seconds: float = 0, broken: int | None = None
    ) -> None:
        self._count = count
        self._taken = taken
        self._seconds = seconds
        self._broken = broken

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self._count):
            time.sleep(self._seconds)
            self._taken.append(f"take {number}")
            if number == self._broken:
                raise DataError(f"picture {number}")
            yield batch_of(number)


def run_steps(feed: DeviceFeed, diary: list[str]) -> Iterator[int]:
    for batch in feed:
        number = int(batch.images.pixels[0, 0, 0, 0])
        diary.append(f"enqueue {number}")
        feed.fetch_ahead()
        diary.append(f"finish {number}")
        yield number


def test_the_next_batch_is_taken_before_the_step_is_waited_for() -> None:
    diary: list[str] = []
    feed = DeviceFeed(Batches(3, diary), CPU, copying=copy_stream(CPU))
    assert list(run_steps(feed, diary)) == [0, 1, 2]
    assert diary == [
        *("take 0", "enqueue 0", "take 1", "finish 0"),
        *("enqueue 1", "take 2", "finish 1", "enqueue 2", "finish 2"),
    ]


def test_without_fetching_ahead_a_batch_is_taken_when_it_is_needed() -> None:
    diary: list[str] = []
    feed = DeviceFeed(Batches(2, diary), CPU, copying=copy_stream(CPU))
    next(feed)
    assert diary == ["take 0"]
    next(feed)
    assert diary == ["take 0", "take 1"]


def test_a_broken_picture_is_known_of_and_does_not_cost_the_step_before() -> None:
    feed = DeviceFeed(Batches(3, [], broken=1), CPU, copying=copy_stream(CPU))
    assert feed.failure() is None
    next(feed)
    feed.fetch_ahead()
    assert str(feed.failure()) == "picture 1"
    with pytest.raises(DataError, match="picture 1"):
        next(feed)


def test_the_end_of_the_batches_is_no_failure() -> None:
    feed = DeviceFeed(Batches(1, []), CPU, copying=copy_stream(CPU))
    next(feed)
    assert feed.failure() is None
    with pytest.raises(StopIteration):
        next(feed)


def test_the_seconds_waited_are_those_since_the_last_call() -> None:
    feed = DeviceFeed(Batches(2, [], seconds=SECONDS), CPU, copying=copy_stream(CPU))
    next(feed)
    assert feed.waited_seconds() >= SECONDS
    assert feed.waited_seconds() == 0
    next(feed)
    assert feed.waited_seconds() >= SECONDS
