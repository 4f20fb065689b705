"""RoIAlign of matrix products, against torchvision's kernels."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.regions.align_matrices import cut_regions, spread_regions
from hrdet_cli.engine.torchvision_operators import roi_align, roi_align_backward

SHAPE, STRIDE = (2, 5, 12, 17), 4


def rois_of(dtype: torch.dtype) -> Tensor:
    """Any, and those at and beyond the edges, slivers, empty ones and one that is turned inside out."""
    generator = torch.Generator().manual_seed(0)
    canvas = torch.tensor([SHAPE[3], SHAPE[2]]) * STRIDE
    corners = torch.rand(20, 2, generator=generator) * canvas
    drawn = torch.cat((corners, corners + torch.rand(20, 2, generator=generator) * canvas / 2), dim=1)
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
    boxes = torch.cat((drawn, torch.tensor(special)))
    pictures = torch.arange(len(boxes)) % SHAPE[0]
    return torch.cat((pictures[:, None], boxes), dim=1).to(dtype)


def spread_both_ways(
    dtype: torch.dtype, *, sampling_ratio: int, aligned: bool, num_cells: int = 3
) -> tuple[Tensor, Tensor]:
    """What is found, and torchvision's."""
    rois = rois_of(dtype)
    generator = torch.Generator().manual_seed(1)
    gradient = torch.randn((len(rois), SHAPE[1], num_cells, num_cells), generator=generator, dtype=dtype)
    found, exact = (
        spread(gradient, rois, SHAPE, scale=1 / STRIDE, sampling_ratio=sampling_ratio, aligned=aligned)
        for spread in (spread_regions, roi_align_backward)
    )
    return found, exact


def cut_both_ways(
    dtype: torch.dtype, layout: torch.memory_format, *, sampling_ratio: int, aligned: bool
) -> tuple[Tensor, Tensor]:
    """Likewise."""
    features = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2), dtype=dtype)
    features = features.contiguous(memory_format=layout)
    found, exact = (
        cut(
            features,
            rois_of(dtype),
            scale=1 / STRIDE,
            num_cells=3,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
        for cut in (cut_regions, roi_align)
    )
    return found, exact


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
def test_features_are_those_of_torchvision(
    sampling_ratio: int, aligned: bool, layout: torch.memory_format
) -> None:
    found, exact = cut_both_ways(torch.float64, layout, sampling_ratio=sampling_ratio, aligned=aligned)
    assert exact.abs().sum() > 0
    assert (found.shape, found.stride()) == (exact.shape, exact.stride())
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-13)


@pytest.mark.parametrize("num_cells", [1, 3])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2])
def test_gradients_are_those_of_torchvision(sampling_ratio: int, aligned: bool, num_cells: int) -> None:
    found, exact = spread_both_ways(
        torch.float64, sampling_ratio=sampling_ratio, aligned=aligned, num_cells=num_cells
    )
    assert exact.abs().sum() > 0
    assert (found.shape, found.stride()) == (exact.shape, exact.stride())
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)


def test_float32_is_exact_to_rounding_whatever_autocast_is_told() -> None:
    settings: dict[str, Any] = {"sampling_ratio": 0, "aligned": True}
    with torch.autocast("cpu", torch.bfloat16):
        pairs = (
            cut_both_ways(torch.float32, torch.contiguous_format, **settings),
            spread_both_ways(torch.float32, **settings),
        )
    for found, exact in pairs:
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-6 * exact.abs().max().item())


@pytest.mark.parametrize("rois", [torch.zeros(0, 5), torch.tensor([[0, torch.nan, 3, torch.nan, torch.inf]])])
def test_no_regions_and_those_that_are_no_numbers_are_empty(rois: Tensor) -> None:
    settings: dict[str, Any] = {"scale": 1 / STRIDE, "sampling_ratio": 0, "aligned": True}
    pooled = cut_regions(torch.ones(SHAPE), rois, num_cells=3, **settings)
    assert pooled.shape == (len(rois), SHAPE[1], 3, 3)
    assert not pooled.any()
    assert not spread_regions(torch.ones_like(pooled), rois, SHAPE, **settings).any()
