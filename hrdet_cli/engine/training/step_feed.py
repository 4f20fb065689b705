"""The batches of each step on the device, those of the next step taken while the current one computes."""

from typing import Self

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.device_feed import DeviceFeed
from hrdet_cli.errors import DataError

StepBatches = list[Batch]
"""The batches of a step, on the device."""


class StepFeed:
    """Hands over the batches of one step after the other, as `DeviceFeed` does single batches.

    Args:
        feed: Of an epoch, or of what is left of it.
        num_batches: Of each step; what is left at the end is a smaller step.
    """

    def __init__(self, feed: DeviceFeed, *, num_batches: int) -> None:
        self._feed = feed
        self._num_taken_early = num_batches - 1
        self._taken: StepBatches = []
        self._end: Exception | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StepBatches:
        """The batches of the next step.

        Raises:
            DataError: As of `DeviceFeed`.
        """
        self._take_early()
        self._take()
        if isinstance(self._end, DataError):
            raise self._end
        if not self._taken:
            raise StopIteration
        batches, self._taken = self._taken, []
        return batches

    def fetch_ahead(self) -> None:
        """Take the batches of the next step; call this when the step's work is enqueued."""
        while self._lacks_early():
            self._feed.fetch_ahead()
            self._take()
        if self._end is None:
            self._feed.fetch_ahead()

    def failure(self) -> DataError | None:
        """Why the next step lacks a batch, if a picture is to blame; fetches its batches to know."""
        self._take_early()
        if self._end is None:
            return self._feed.failure()
        return self._end if isinstance(self._end, DataError) else None

    def waited_seconds(self) -> float:
        """As of `DeviceFeed`."""
        return self._feed.waited_seconds()

    def _take_early(self) -> None:
        while self._lacks_early():
            self._take()

    def _lacks_early(self) -> bool:
        """Whether there may be more of the next step than its last batch, which stays in the feed."""
        return self._end is None and len(self._taken) < self._num_taken_early

    def _take(self) -> None:
        if self._end is not None:
            return
        try:
            self._taken.append(next(self._feed))
        except (StopIteration, DataError) as error:
            self._end = error
