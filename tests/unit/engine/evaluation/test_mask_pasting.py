import tracemalloc

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image

from hrdet_cli.engine.evaluation import mask_pasting
from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.geometry import Size


def smooth_masks(count: int, *, cells: int = 28, seed: int = 0) -> NDArray[np.float32]:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    return F.interpolate(coarse, size=cells, mode="bicubic").clamp(0, 1)[:, 0].numpy()


def boxes_around(count: int, size: Size, *, seed: int = 0) -> NDArray[np.float32]:
    """Some of them reach out of the picture, and some lie beside it."""
    generator = np.random.default_rng(seed)
    edges = np.array([size.width, size.height])
    corners = np.sort(generator.random((count, 2, 2)) * edges * 1.4 - edges * 0.2, axis=1)
    return corners.reshape(count, 4).astype(np.float32)


def sampled(mask: NDArray[np.float32], box: NDArray[np.float32], size: Size) -> NDArray[np.float64]:
    """What torch's grid sampling says of every pixel of the picture, in float64."""
    x1, y1, x2, y2 = torch.from_numpy(box).double()
    y = ((torch.arange(size.height) + 0.5).double() - y1) / (y2 - y1) * 2 - 1
    x = ((torch.arange(size.width) + 0.5).double() - x1) / (x2 - x1) * 2 - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    values = F.grid_sample(torch.from_numpy(mask).double()[None, None], grid[None], align_corners=False)
    return values[0, 0].numpy()


@pytest.mark.parametrize("threshold", [0.5, 0.2])
@pytest.mark.parametrize("size", [Size(61, 47), Size(20, 90), Size(3, 5)])
def test_pixels_are_those_of_grid_sampling_and_runs_those_of_coco(
    size: Size, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mask_pasting, "_BLOCK_PIXELS", 500)  # so that some masks are made of several blocks
    masks, boxes = smooth_masks(60), boxes_around(60, size)
    pasted = MaskPasting(threshold=threshold).paste(masks, boxes, size)
    num_inside = 0
    for mask, box, bitmap, counts in zip(masks, boxes, pasted.bitmaps(), pasted.counts, strict=True):
        expected = sampled(mask, box, size)
        is_sure = abs(expected - threshold) > 1e-6
        assert is_sure.mean() > 0.99
        assert ((expected >= threshold) == bitmap)[is_sure].all()
        assert coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))["counts"] == counts
        num_inside += bitmap.sum()
    assert num_inside > 0
    assert pasted.areas().sum() == num_inside


def test_a_full_mask_covers_the_pixels_whose_middles_are_in_its_box() -> None:
    # 1.6 .. 3.4: the middles of pixels 2 (2.5) and, at its border, where half is left, none beyond.
    full = np.ones((1, 28, 28), dtype=np.float32)
    pasted = MaskPasting(threshold=0.5).paste(
        full, np.array([[1.6, 0, 3.4, 4]], dtype=np.float32), Size(4, 6)
    )
    (bitmap,) = pasted.bitmaps()
    assert bitmap.astype(int).tolist() == [[0, 0, 1, 0, 0, 0]] * 4
    assert pasted.to_json() == [
        {"size": [4, 6], "counts": "84<"}
    ]  # eight, four and twelve, as COCO packs them


def test_a_run_goes_on_from_column_to_column_and_to_the_last_pixel() -> None:
    pasted = MaskPasting(threshold=0.5).paste(
        np.ones((1, 28, 28), dtype=np.float32), np.array([[-9, -9, 20, 20]], dtype=np.float32), Size(4, 6)
    )
    whole = coco_mask.encode(np.asfortranarray(np.ones((4, 6), dtype=np.uint8)))
    assert pasted.counts == (whole["counts"],)


@pytest.mark.parametrize("box", [[3, 3, 3, 9], [3, 3, 9, 3], [50, 2, 60, 9], [-9, -9, -3, -2]])
def test_a_box_without_area_or_beside_the_picture_has_no_pixel(box: list[float]) -> None:
    pasted = MaskPasting(threshold=0.5).paste(
        np.ones((1, 28, 28), dtype=np.float32), np.array([box], dtype=np.float32), Size(20, 30)
    )
    assert pasted.areas().tolist() == [0]
    assert not next(pasted.bitmaps()).any()


def test_no_mask_makes_no_runs() -> None:
    nothing = MaskPasting(threshold=0.5).paste(
        np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32), Size(4, 6)
    )
    assert nothing.to_json() == []
    assert nothing.areas().tolist() == []


def test_a_large_picture_takes_little_memory() -> None:
    size = Size(3000, 4000)
    boxes = np.array([[0, 0, 4000, 3000]] * 3, dtype=np.float32)
    masks = smooth_masks(3)
    tracemalloc.start()
    try:
        MaskPasting(threshold=0.5).paste(masks, boxes, size)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 24e6  # a bitmap of one of them is 12 MB, a float map 48


def test_torchvision_s_rule_gives_torchvision_s_masks() -> None:
    size = Size(61, 47)
    masks, boxes = smooth_masks(60), boxes_around(60, size)
    boxes = boxes.clip(0, np.array([size.width, size.height] * 2, dtype=np.float32))
    boxes[5, 2:] = boxes[5, :2] + np.float32(0.3)  # less than a pixel
    has_area = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) > 0
    masks, boxes = masks[has_area], boxes[has_area]
    assert len(boxes) > 40
    theirs = paste_masks_in_image(
        torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), (size.height, size.width)
    )[:, 0].numpy()
    pasted = MaskPasting(threshold=0.5, rule="torchvision").paste(masks, boxes, size)
    plain = MaskPasting(threshold=0.5).paste(masks, boxes, size)
    num_inside = num_other = 0
    for sure, bitmap, by_grid in zip(theirs, pasted.bitmaps(), plain.bitmaps(), strict=True):
        is_clear = abs(sure - 0.5) > 1e-5
        assert ((sure >= 0.5) == bitmap)[is_clear].all()
        num_inside += bitmap.sum()
        num_other += (bitmap != by_grid).sum()
    assert num_inside > 5000
    assert num_other > 500


def test_the_rule_of_2019_resizes_a_mask_to_the_whole_pixels_of_its_box() -> None:
    size = Size(40, 50)
    generator = np.random.default_rng(1)
    low = generator.random((40, 2)) * 25
    inclusive = np.concatenate([low, low + generator.random((40, 2)) * 20], axis=1)  # the last pixel's corner
    masks = smooth_masks(40)
    boxes = (inclusive + np.array([0, 0, 1, 1])).astype(np.float32)
    pasted = MaskPasting(threshold=0.5, rule="whole_pixels").paste(masks, boxes, size)
    corners = (boxes - np.array([0, 0, 1, 1], dtype=np.float32)).astype(np.int32).tolist()
    for mask, (x1, y1, x2, y2), bitmap in zip(masks, corners, pasted.bitmaps(), strict=True):
        width, height = x2 - x1 + 1, y2 - y1 + 1
        resized = F.interpolate(torch.from_numpy(mask)[None, None], size=(height, width), mode="bilinear")
        expected = np.zeros((size.height, size.width))
        expected[y1 : y1 + height, x1 : x1 + width] = resized[0, 0].numpy()
        is_clear = abs(expected - 0.5) > 1e-5
        assert ((expected > 0.5) == bitmap)[is_clear].all()
        assert is_clear.mean() > 0.99
