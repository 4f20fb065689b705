"""RoIAlign as a sparse matrix, against torchvision's kernels."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.regions import align_by_level, align_cpu

SHAPES, STRIDES = ((2, 5, 12, 17), (2, 5, 6, 9)), (4, 8)


def draw_regions() -> tuple[Tensor, Tensor]:
    """Any, and those at and beyond the edges, slivers, empty ones and one that is turned inside out."""
    generator = torch.Generator().manual_seed(0)
    canvas = torch.tensor([SHAPES[0][3], SHAPES[0][2]]) * STRIDES[0]
    corners = torch.rand(21, 2, generator=generator) * canvas
    drawn = torch.cat((corners, corners + torch.rand(21, 2, generator=generator) * canvas / 2), dim=1)
    width, height = canvas.tolist()
    special = [
        [0, 0, width, height],
        [-40, -40, width + 40, height + 40],
        [width - 0.5, 3, width, height],
        [0, 10, width, 10.1],
        [5, 5, 5, 5],
        [30, 20, 10, 8],
        [width + 30, height + 30, width + 50, height + 60],
    ]
    regions = torch.cat((drawn, torch.tensor(special))).view(SHAPES[0][0], -1, 4)
    levels = torch.randint(len(STRIDES), (regions.shape[0] * regions.shape[1],), generator=generator)
    return regions, levels.int()


def draw(shapes: Sequence[Sequence[int]], dtype: torch.dtype, layout: torch.memory_format) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    maps = [torch.randn(tuple(shape), generator=generator, dtype=dtype) for shape in shapes]
    return [features.contiguous(memory_format=layout) for features in maps]


def pool_both_ways(
    dtype: torch.dtype, layout: torch.memory_format, *settings: Any
) -> list[tuple[Tensor, Tensor]]:
    """What is found, and torchvision's: features of the regions, and gradients of the levels."""
    regions, level_index = draw_regions()
    inputs = (regions, level_index, None, STRIDES, *settings, 0)
    features = draw(SHAPES, dtype, layout)
    found, exact = (way.pool_regions(features, *inputs) for way in (align_cpu, align_by_level))
    (gradient,) = draw([exact.shape], dtype, layout)
    found_levels, exact_levels = (
        way.pool_regions_backward(gradient, SHAPES, *inputs) for way in (align_cpu, align_by_level)
    )
    return [(found, exact), *zip(found_levels, exact_levels, strict=True)]


@pytest.mark.parametrize("regions_at_once", [5, 256])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
@pytest.mark.parametrize("num_cells", [1, 3])
def test_features_and_gradients_are_those_of_torchvision(
    monkeypatch: pytest.MonkeyPatch,
    num_cells: int,
    sampling_ratio: int,
    aligned: bool,
    layout: torch.memory_format,
    regions_at_once: int,
) -> None:
    monkeypatch.setattr(align_cpu, "_NUM_REGIONS_AT_ONCE", regions_at_once)
    for found, exact in pool_both_ways(torch.float64, layout, num_cells, sampling_ratio, aligned):
        assert exact.abs().sum() > 0
        assert (found.shape, found.stride()) == (exact.shape, exact.stride())
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)


def test_float32_is_exact_to_rounding_whatever_autocast_is_told() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        pairs = pool_both_ways(torch.float32, torch.contiguous_format, 3, 0, True)
    for found, exact in pairs:
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-6 * exact.abs().max().item())


def test_features_in_bfloat16_are_summed_up_in_float32() -> None:
    for found, exact in pool_both_ways(torch.bfloat16, torch.channels_last, 3, 2, True):
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found, exact, rtol=2**-7, atol=0)


@pytest.mark.parametrize(
    "regions", [torch.zeros(2, 0, 4), torch.tensor([[torch.nan, 3, torch.nan, torch.inf]] * 2)[:, None]]
)
def test_no_regions_and_those_that_are_no_numbers_are_empty(regions: Tensor) -> None:
    level_index = torch.zeros(regions.shape[0] * regions.shape[1], dtype=torch.int32)
    inputs = (regions, level_index, None, STRIDES, 3, 0, True, 0)
    pooled = align_cpu.pool_regions([torch.ones(shape) for shape in SHAPES], *inputs)
    assert pooled.shape == (len(level_index), SHAPES[0][1], 3, 3)
    assert not pooled.any()
    gradients = align_cpu.pool_regions_backward(torch.ones_like(pooled), SHAPES, *inputs)
    assert [gradient.abs().sum().item() for gradient in gradients] == [0, 0]
