"""Batches on the device, the next one copied and padded there while the current step computes."""

import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Self

import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.errors import DataError


def copy_stream(device: torch.device) -> torch.cuda.Stream | None:
    """A stream for copies to a GPU beside its work; None for other devices, which have none."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


class DeviceFeed:
    """Hands over batches in their order, on the device.

    After a step that calls `fetch_ahead` when all its work is enqueued, the next batch is on the device: on a
    GPU it was copied from page-locked memory beside the step's kernels, on a stream of its own. Without the
    call, a batch is taken and copied when it is asked for.

    Typical use::

        feed = DeviceFeed(loader.batches(epoch), device, copying=copy_stream(device))
        for batch in feed:
            loss = enqueue(batch)
            feed.fetch_ahead()
            loss.item()  # wait for the device
            print(feed.waited_seconds())

    Args:
        batches: What a loader gives, which copies and pads each when it is taken, or in any memory.
        device: Where they go.
        copying: What `copy_stream` gives for the device. One is enough for a process: memory that was
            allocated on a stream is free for that stream alone.
    """

    def __init__(
        self, batches: Iterable[Batch], device: torch.device, *, copying: torch.cuda.Stream | None
    ) -> None:
        self._batches = iter(batches)
        self._device = device
        self._copying = copying
        self._ahead: Batch | Exception | None = None
        self._seconds = 0.0
        self._idle_spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            DataError: A picture is missing or damaged. What `fetch_ahead` meets is told here, so that it does
                not cost the step before.
        """
        fetched, self._ahead = self._await_next(), None
        if isinstance(fetched, Exception):
            raise fetched
        if self._copying is not None:
            _hand_over(fetched, self._copying, torch.cuda.current_stream(self._device))
        return fetched

    def fetch_ahead(self) -> None:
        """Take the next batch and begin its copy; call this when the step's work is enqueued."""
        if self._copying is None:
            self._await_next()
        if self._ahead is not None:
            return
        computing = torch.cuda.current_stream(self._device)
        before = computing.record_event(_timed_event())
        self._ahead = self._fetch()
        after = computing.record_event(_timed_event())
        self._idle_spans.append((before, after))

    def failure(self) -> DataError | None:
        """Why there is no next batch, if a picture is to blame; fetches the batch to know."""
        fetched = self._await_next()
        return fetched if isinstance(fetched, DataError) else None

    def waited_seconds(self) -> float:
        """How long work stood still for want of data since the last call; the device has to be idle.

        Of the time that `fetch_ahead` waits on a GPU, only what comes after the step's kernels counts.
        """
        idle_milliseconds = [before.elapsed_time(after) for before, after in self._idle_spans]
        seconds: float = self._seconds + sum(idle_milliseconds) / 1000
        self._seconds = 0.0
        self._idle_spans.clear()
        return seconds

    def _await_next(self) -> Batch | Exception:
        """The next batch; where it was not fetched ahead, work stands still for it."""
        if self._ahead is None:
            started = time.perf_counter()
            self._ahead = self._fetch()
            self._seconds += time.perf_counter() - started
        return self._ahead

    def _fetch(self) -> Batch | Exception:
        try:
            with nullcontext() if self._copying is None else torch.cuda.stream(self._copying):
                return next(self._batches).to(self._device)
        except Exception as error:  # the end of the batches among them
            return error


def _timed_event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _hand_over(batch: Batch, copying: torch.cuda.Stream, computing: torch.cuda.Stream) -> None:
    """Order the copy before the step that uses it, and that step before the next copy into its memory."""
    computing.wait_stream(copying)
    images, targets = batch.images, batch.targets
    used = [images.pixels, images.sizes, images.keys, targets.boxes, targets.labels, targets.is_valid]
    used += [tensor for tensor in (targets.masks, targets.semantic) if tensor is not None]
    for tensor in used:
        tensor.record_stream(computing)
