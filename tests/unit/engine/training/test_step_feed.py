"""The batches of a step are on the device before the step, and their faults known a step ahead."""

from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.device_feed import DeviceFeed
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.step_feed import StepFeed
from hrdet_cli.errors import DataError

CPU = torch.device("cpu")


def numbered(count: int, taken: list[int], *, broken: int | None = None) -> Iterator[Batch]:
    for number in range(count):
        taken.append(number)
        if number == broken:
            raise DataError(f"picture {number}")
        yield Batch(
            ImageBatch(torch.full((1, 3, 2, 2), number), torch.full((1, 2), 2), torch.zeros(1)),
            Targets(torch.zeros(1, 8, 4), torch.zeros(1, 8), torch.zeros(1, 8)),
            (),
        )


def feed_of(count: int, taken: list[int], *, num_batches: int, broken: int | None = None) -> StepFeed:
    batches = numbered(count, taken, broken=broken)
    return StepFeed(DeviceFeed(batches, CPU, copying=None), num_batches=num_batches)


@pytest.mark.parametrize(
    ("count", "num_batches", "steps"),
    [(3, 1, [[0], [1], [2]]), (4, 2, [[0, 1], [2, 3]]), (5, 3, [[0, 1, 2], [3, 4]]), (2, 4, [[0, 1]])],
)
def test_each_step_has_its_batches_and_the_last_one_what_is_left(
    count: int, num_batches: int, steps: list[list[int]]
) -> None:
    found: list[list[int]] = []
    taken: list[int] = []
    feed = feed_of(count, taken, num_batches=num_batches)
    for batches in feed:
        found.append([int(batch.images.pixels[0, 0, 0, 0]) for batch in batches])
        feed.fetch_ahead()
        assert taken == list(range(min(count, sum(map(len, found)) + num_batches)))
        assert feed.failure() is None
    assert found == steps


@pytest.mark.parametrize("broken", [2, 3])
def test_a_broken_picture_of_the_next_step_is_known_before_that_step(broken: int) -> None:
    feed = feed_of(6, [], num_batches=2, broken=broken)
    assert feed.failure() is None
    next(feed)
    feed.fetch_ahead()
    assert str(feed.failure()) == f"picture {broken}"
    with pytest.raises(DataError, match=f"picture {broken}"):
        next(feed)
