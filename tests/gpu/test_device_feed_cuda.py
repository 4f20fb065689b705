"""Batches copied on a stream of their own arrive whole and in order, and keep their memory while in use."""

from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.device_feed import DeviceFeed, copy_stream
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import Targets
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

NUM_BATCHES, CANVAS, MASKS_SHAPE = 12, Size(1024, 1600), (4, 128, 112, 112)


def batches_of_loader(device: torch.device) -> Iterator[Batch]:
    """Of pictures that fill their canvases, copied and padded when they are taken."""
    for number in range(NUM_BATCHES):
        picture = torch.full((CANVAS.height, CANVAS.width, 3), number + 1, dtype=torch.uint8)
        masks = torch.full(MASKS_SHAPE, number + 1, dtype=torch.uint8)
        targets = Targets(torch.zeros(4, 8, 4), torch.zeros(4, 8), torch.zeros(4, 8), masks)
        batch = UnpaddedBatch([picture.permute(2, 0, 1)] * 4, CANVAS, [0] * 4, targets, ())
        yield batch.pin_memory().padded(device)


def mean_pixels_seen(*, fetches_ahead: bool) -> list[float]:
    """Mean of pixels and cells of masks of every batch, read late in a long step."""
    device = torch.device("cuda", 0)
    weight = torch.rand(4096, 4096, device=device) / 4096
    feed = DeviceFeed(batches_of_loader(device), device, copying=copy_stream(device))
    means = []
    for batch in feed:
        busy = weight
        for _ in range(30):
            busy = busy @ weight
        masks = batch.targets.masks
        assert masks is not None
        mean = (batch.images.pixels.float().mean() + masks.float().mean()) / 2
        means.append(mean + 0 * busy.sum())
        del masks
        del batch  # its memory is free for the next copy as soon as this step is over, not before
        if fetches_ahead:
            feed.fetch_ahead()
    return [mean.item() for mean in means]


def test_every_batch_is_seen_whole_and_in_order_with_and_without_fetching_ahead() -> None:
    expected = [float(number + 1) for number in range(NUM_BATCHES)]
    for fetches_ahead in (True, False):
        assert mean_pixels_seen(fetches_ahead=fetches_ahead) == pytest.approx(expected)


def test_the_copy_of_the_next_batch_begins_before_the_step_ends() -> None:
    device = torch.device("cuda", 0)
    feed = DeviceFeed(batches_of_loader(device), device, copying=copy_stream(device))
    next(feed)
    torch.cuda._sleep(200_000_000)  # type: ignore[no-untyped-call]
    step_ended = torch.cuda.current_stream(device).record_event()
    feed.fetch_ahead()
    assert feed._copying is not None
    feed._copying.synchronize()
    assert not step_ended.query()
    torch.cuda.synchronize()
    assert feed.waited_seconds() >= 0
