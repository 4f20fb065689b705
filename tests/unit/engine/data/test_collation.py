import numpy as np
import pytest
import torch

from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.collation import collate, pad_pictures
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import UNLABELLED


def _sample(
    size: Size,
    *,
    num_boxes: int = 0,
    key: int = 0,
    mask_cells: int | None = None,
    semantic: torch.Tensor | None = None,
) -> Sample:
    noise = np.random.default_rng(key)
    pixels = torch.from_numpy(noise.integers(1, 256, (3, size.height, size.width), dtype=np.uint8))
    boxes = torch.from_numpy(noise.random((num_boxes, 4), dtype=np.float32))
    record = PictureRecord(0, 0, "x.jpg", size, Placement(size), torch.zeros((0, 4)))
    masks = None
    if mask_cells is not None:
        masks = torch.from_numpy(noise.integers(0, 2, (num_boxes, mask_cells, mask_cells), dtype=np.uint8))
    return Sample(pixels, boxes, torch.arange(num_boxes), key, record, masks=masks, semantic=semantic)


def test_pictures_lie_unchanged_in_the_top_left_corner_of_a_canvas_of_zeros() -> None:
    samples = [_sample(Size(20, 30), key=1), _sample(Size(25, 40), key=2)]
    images = pad_pictures(samples, Size(32, 64)).images
    assert images.pixels.shape == (2, 3, 32, 64)
    assert images.pixels.dtype == torch.uint8
    assert images.pixels.is_contiguous(memory_format=torch.channels_last)
    assert images.sizes.tolist() == [[20, 30], [25, 40]]
    assert images.keys.tolist() == [1, 2]
    for row, sample in enumerate(samples):
        height, width = images.sizes[row].tolist()
        assert torch.equal(images.pixels[row, :, :height, :width], sample.pixels)
        assert images.pixels[row].count_nonzero() == sample.pixels.numel()  # noise has no zeros


@pytest.mark.parametrize(("fullest", "fewest", "rows"), [(3, 0, 8), (3, 20, 32), (40, 20, 64), (20, 20, 32)])
def test_there_can_be_rows_for_more_boxes_than_a_batch_has(fullest: int, fewest: int, rows: int) -> None:
    targets = collate([_sample(Size(8, 8), num_boxes=fullest)], Size(64, 64), fewest_boxes=fewest).targets
    assert targets.boxes.shape == (1, rows, 4)
    assert targets.is_valid.sum() == fullest


@pytest.mark.parametrize(("fullest", "rows"), [(0, 8), (8, 8), (9, 16), (16, 16), (17, 32), (500, 512)])
def test_ground_truth_is_padded_to_few_static_numbers_of_rows(fullest: int, rows: int) -> None:
    samples = [_sample(Size(8, 8), num_boxes=fullest, key=1), _sample(Size(8, 8), num_boxes=0)]
    targets = pad_pictures(samples, Size(64, 64)).targets
    assert targets.boxes.shape == (2, rows, 4)
    assert targets.is_valid.sum(dim=1).tolist() == [fullest, 0]
    assert torch.equal(targets.boxes[0][targets.is_valid[0]], samples[0].boxes)
    assert torch.equal(targets.labels[0][targets.is_valid[0]], samples[0].labels)
    assert targets.boxes[~targets.is_valid].count_nonzero() == 0
    assert targets.labels[~targets.is_valid].count_nonzero() == 0


def test_more_padding_changes_no_picture_and_no_box() -> None:
    samples = [_sample(Size(20, 30), num_boxes=3, key=5)]
    small, large = (pad_pictures(samples, Size(edge, edge)) for edge in (32, 96))
    assert torch.equal(small.images.pixels[..., :20, :30], large.images.pixels[..., :20, :30])
    assert torch.equal(small.targets.boxes, large.targets.boxes)


def test_a_key_of_63_bits_survives() -> None:
    batch = pad_pictures([_sample(Size(8, 8), key=2**63 - 1)], Size(64, 64))
    assert batch.images.keys.tolist() == [2**63 - 1]


def test_masks_are_padded_with_zeros_to_the_rows_of_their_boxes() -> None:
    samples = [_sample(Size(8, 8), num_boxes=count, key=count, mask_cells=16) for count in (9, 0, 2)]
    memory = WorkerMemory(1)
    memory.take((3, 16, 16, 16)).fill_(7)  # what an earlier batch left
    for batch in (collate(samples, Size(64, 64)), collate(samples, Size(64, 64), mask_memory=memory)):
        masks = batch.targets.masks
        assert masks is not None
        assert (masks.shape, masks.dtype) == ((3, 16, 16, 16), torch.uint8)
        for row, sample in enumerate(samples):
            assert sample.masks is not None
            assert torch.equal(masks[row][batch.targets.is_valid[row]], sample.masks)
        assert masks[~batch.targets.is_valid].count_nonzero() == 0


def test_a_batch_has_no_masks_where_its_samples_have_none() -> None:
    assert pad_pictures([_sample(Size(8, 8), num_boxes=3)], Size(64, 64)).targets.masks is None
    assert pad_pictures([], Size(64, 64)).targets.masks is None


def test_a_sample_without_masks_among_others_is_an_error_that_names_it() -> None:
    samples = [_sample(Size(8, 8), num_boxes=1, mask_cells=16), _sample(Size(8, 8), num_boxes=1)]
    with pytest.raises(ValueError, match=r"x\.jpg has no masks, and others of its batch do"):
        pad_pictures(samples, Size(64, 64))


def test_label_maps_lie_in_the_top_left_corner_of_pixels_without_a_label() -> None:
    first, second = torch.ones(3, 4, dtype=torch.uint8), torch.full((4, 2), 7, dtype=torch.uint8)
    samples = [_sample(Size(20, 30), semantic=first), _sample(Size(25, 16), semantic=second)]
    semantic = pad_pictures(samples, Size(32, 64)).targets.semantic
    assert semantic is not None
    assert semantic.shape == (2, 4, 8)
    assert torch.equal(semantic[0, :3, :4], first)
    assert torch.equal(semantic[1, :4, :2], second)
    assert (semantic == UNLABELLED).sum() == 2 * 32 - 12 - 8
    assert pad_pictures([_sample(Size(20, 30))], Size(32, 64)).targets.semantic is None
