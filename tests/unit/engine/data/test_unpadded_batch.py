"""Pictures travel without padding, in memory that others may use again, and are padded on the device."""

import multiprocessing.reduction
from multiprocessing.reduction import ForkingPickler

import pytest
import torch

from hrdet_cli.engine.data.batch import PictureRecord
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import Targets
from tests.operator_counts import OperatorCounter

SIZES = (Size(20, 30), Size(25, 40), Size(32, 64))
CANVAS = Size(32, 64)
CPU = torch.device("cpu")


def batch_in(block: torch.Tensor, masks: torch.Tensor | None = None) -> UnpaddedBatch:
    """Pictures of ones, twos and threes, each in its row of a block."""
    pictures = []
    for number, (room, size) in enumerate(zip(block, SIZES, strict=True), start=1):
        picture = room[: 3 * size.num_pixels].view(size.height, size.width, 3)
        pictures.append(picture.fill_(number).permute(2, 0, 1))
    records = tuple(
        PictureRecord(0, 0, "x.jpg", size, Placement(size), torch.zeros((0, 4))) for size in SIZES
    )
    targets = Targets(torch.zeros(3, 8, 4), torch.zeros(3, 8), torch.zeros(3, 8, dtype=torch.bool), masks)
    return UnpaddedBatch(pictures, CANVAS, [1, 2, 3], targets, records)


def test_padding_is_zero_and_the_memory_of_a_padded_batch_is_its_own() -> None:
    block = torch.full((3, 3 * CANVAS.num_pixels), 9, dtype=torch.uint8)  # what others left there
    masks = torch.ones(3, 8, 4, 4, dtype=torch.uint8)
    batch = batch_in(block, masks).padded(CPU)
    block.fill_(7)
    masks.fill_(7)
    pixels = batch.images.pixels
    assert (pixels.shape, pixels.dtype) == ((3, 3, 32, 64), torch.uint8)
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    for number, (picture, size) in enumerate(zip(pixels, SIZES, strict=True), start=1):
        assert (picture[:, : size.height, : size.width] == number).all()
        assert picture.count_nonzero() == 3 * size.num_pixels
    assert batch.images.sizes.tolist() == [[20, 30], [25, 40], [32, 64]]
    assert batch.images.keys.tolist() == [1, 2, 3]
    assert batch.targets.masks is not None
    assert (batch.targets.masks == 1).all()


def test_a_batch_is_padded_on_the_device_where_each_of_its_parts_goes_once() -> None:
    meta, masks = torch.device("meta"), torch.ones(3, 8, 4, 4, dtype=torch.uint8)
    unpadded = batch_in(torch.zeros(3, 3 * CANVAS.num_pixels, dtype=torch.uint8), masks)
    with OperatorCounter() as counter:
        batch = unpadded.padded(meta)
    images, targets = batch.images, batch.targets
    parts = [images.sizes, images.keys, targets.boxes, targets.labels, targets.is_valid, targets.masks]
    assert {part.device for part in [images.pixels, *parts] if part is not None} == {meta}
    assert counter.times[torch.ops.aten._to_copy.default] == len(SIZES) + len(parts)


def test_a_batch_without_pictures_has_a_canvas_still() -> None:
    targets = Targets(torch.zeros(0, 8, 4), torch.zeros(0, 8), torch.zeros(0, 8, dtype=torch.bool))
    images = UnpaddedBatch([], CANVAS, [], targets, ()).padded(CPU).images
    assert (images.canvas, images.sizes.shape, images.keys.shape) == (CANVAS, (0, 2), (0,))


def test_all_pictures_in_a_block_travel_as_one_piece_of_shared_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = batch_in(WorkerMemory(1).take((3, 3 * CANVAS.num_pixels)))
    sent: list[int] = []
    monkeypatch.setattr(multiprocessing.reduction, "DupFd", sent.append)
    ForkingPickler.dumps(batch)
    assert len(sent) == 4  # the pictures, and three parts of the targets
