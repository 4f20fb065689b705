import math
from itertools import product

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.regions.mask_targets import mask_targets


def value_at(mask: list[list[int]], y: float, x: float) -> float:
    """Bilinear between the middles of cells; nothing outside of the mask."""
    row, column = math.floor(y - 0.5), math.floor(x - 0.5)
    down, right = y - 0.5 - row, x - 0.5 - column
    total = 0.0
    for i, j in product((0, 1), (0, 1)):
        if 0 <= row + i < len(mask) and 0 <= column + j < len(mask):
            total += (down if i else 1 - down) * (right if j else 1 - right) * mask[row + i][column + j]
    return total


def share_of(
    region: list[float], box: list[float], mask: list[list[int]], cell: tuple[int, int], m: int
) -> float:
    """How much of one cell of a region is inside: the mean of as many samples as it has cells of the mask."""
    starts, steps, counts = [], [], []
    for axis in (1, 0):
        scale = len(mask) / (box[axis + 2] - box[axis])
        low, high = ((region[axis + end] - box[axis]) * scale for end in (0, 2))
        starts.append(low)
        steps.append((high - low) / m)
        counts.append(math.ceil((high - low) / m))
    values = [
        value_at(
            mask,
            starts[0] + steps[0] * (cell[0] + (i + 0.5) / counts[0]),
            starts[1] + steps[1] * (cell[1] + (j + 0.5) / counts[1]),
        )
        for i in range(counts[0])
        for j in range(counts[1])
    ]
    return sum(values) / len(values)


def blobs(count: int, *, cells: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(count, 1, 5, 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, size=cells, mode="bicubic")
    return (fine[:, 0] > 0.45).to(torch.uint8)


def test_cells_are_those_of_a_rewrite_in_float64() -> None:
    boxes = torch.tensor([[10.0, 20, 42, 60], [3, 3, 90, 11.5], [40, 40, 47, 80.25]])
    # Smaller, larger and shifted; every one reaches out of its object's box on some side.
    regions = torch.tensor([[5.0, 26, 44, 58], [-2, 2, 80, 15], [41.5, 30, 49, 70]])
    masks = blobs(3, cells=16)
    found = mask_targets(regions, boxes, masks, num_cells=7)
    assert found.shape == (3, 7, 7)
    num_inside = num_sure = 0
    for index in range(3):
        parts = regions[index].tolist(), boxes[index].tolist(), masks[index].tolist()
        for cell in product(range(7), range(7)):
            share = share_of(*parts, cell, 7)
            if abs(share - 0.5) > 1e-5:
                assert bool(found[index][cell]) == (share > 0.5), (index, cell, share)
                num_sure += 1
                num_inside += share > 0.5
    assert num_sure > 140
    assert 30 < num_inside < 110


def test_a_region_that_is_its_object_s_box_gets_the_mask_in_fewer_cells() -> None:
    masks = torch.zeros(1, 112, 112, dtype=torch.uint8)
    masks[:, 40:80, 56:] = 1  # rows 10 .. 19 and columns 14 .. 27 of 28
    box = torch.tensor([[100.5, 30.25, 163.0, 200.0]])
    found = mask_targets(box, box, masks, num_cells=28)
    assert found.sum() == 10 * 14
    assert found[0, 10:20, 14:].all()


def test_beyond_its_box_there_is_nothing_of_an_object() -> None:
    full = torch.ones(1, 112, 112, dtype=torch.uint8)
    found = mask_targets(
        torch.tensor([[0.0, 0, 56, 56]]), torch.tensor([[14.0, 0, 42, 56]]), full, num_cells=28
    )
    assert found[0, :, 7:21].all()
    assert found.sum() == 28 * 14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regions_may_be_of_any_precision_and_there_may_be_none(dtype: torch.dtype) -> None:
    nothing = torch.zeros(0, 4, dtype=dtype)
    found = mask_targets(nothing, nothing, torch.zeros(0, 112, 112, dtype=torch.uint8), num_cells=28)
    assert (found.shape, found.dtype) == ((0, 28, 28), torch.bool)
