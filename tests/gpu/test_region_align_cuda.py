"""RoIAlign's kernels on a GPU against torchvision's on the CPU, and what they need."""

from functools import partial

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.structures import Size
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)
STRIDES, CHANNELS = (4, 8, 16, 32), 40
CANVAS, SIZES = Size(256, 384), torch.tensor([[256, 384], [192, 320]])


def levels_of(canvas: Size, dtype: torch.dtype, *, channels: int = CHANNELS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    area = ValidArea.on_canvas(canvas, SIZES)
    levels = []
    for stride in STRIDES:
        shape = (2, channels, canvas.height // stride, canvas.width // stride)
        maps = torch.randn(shape, generator=generator, dtype=torch.float64)
        maps = (maps * area.cells_of(maps).is_valid).to(dtype)
        levels.append(maps.contiguous(memory_format=torch.channels_last))
    return levels


def regions() -> Tensor:
    """Of all levels, inside their pictures."""
    generator = torch.Generator().manual_seed(1)
    sides = torch.exp2(torch.rand(2, 200, 2, generator=generator) * 6 + 2)
    ends = SIZES.flip(-1)[:, None]
    corners = torch.rand(2, 200, 2, generator=generator) * (ends - sides).clamp(min=0)
    boxes = torch.cat((corners, torch.minimum(corners + sides, ends.float())), dim=-1)
    boxes[:, -3:] = 0
    return boxes


def pooled_on(
    device: torch.device, dtype: torch.dtype, *, ratio: int, aligned: bool, with_area: bool
) -> list[Tensor]:
    """Features, and gradients of the levels."""
    levels = [level.to(device).requires_grad_() for level in levels_of(CANVAS, dtype)]
    area = ValidArea.on_canvas(CANVAS, SIZES.to(device)) if with_area else None
    pooling = RegionPooling(strides=STRIDES, sampling_ratio=ratio, aligned=aligned)
    pooled = pooling(Pyramid(tuple(levels), STRIDES, area=area), regions().to(device))
    upstream = torch.sin(torch.arange(pooled.numel())).view(pooled.shape).to(pooled)
    gradients = torch.autograd.grad(pooled, levels, upstream)
    # Cells of the padding are zero whatever their gradients are.
    return [pooled.detach(), *(without_padding(gradient, area) for gradient in gradients)]


@pytest.mark.parametrize("is_built", [True, False], ids=["Triton", "torchvision"])
@pytest.mark.parametrize("with_area", [False, True], ids=["whole canvas", "pictures"])
@pytest.mark.parametrize(("ratio", "aligned"), [(2, False), (2, True), (0, True), (0, False)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_features_and_gradients_are_those_of_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    ratio: int,
    aligned: bool,
    with_area: bool,
    is_built: bool,
) -> None:
    if is_built and (reason := triton_kernels.why_not()) is not None:
        pytest.skip(reason)
    monkeypatch.setattr(triton_kernels, "are_used", lambda: is_built)
    on = partial(pooled_on, dtype=dtype, ratio=ratio, aligned=aligned, with_area=with_area)
    tolerance = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for found, wanted in zip(on(CUDA), on(torch.device("cpu")), strict=True):
        assert found.dtype == wanted.dtype
        torch.testing.assert_close(
            found.cpu(), wanted, rtol=tolerance, atol=tolerance * float(wanted.abs().max())
        )


def test_deterministic_gradients_have_the_same_bits_each_time() -> None:
    if (reason := triton_kernels.why_not()) is not None:
        pytest.skip(f"torchvision's kernels have no fixed order, and {reason}")
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (
            pooled_on(CUDA, torch.float32, ratio=0, aligned=True, with_area=True) for _ in range(2)
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_levels_are_not_copied() -> None:
    canvas = Size(1024, 1600)
    levels = [level.to(CUDA) for level in levels_of(canvas, torch.bfloat16, channels=256)]
    pooling = RegionPooling(strides=STRIDES, sampling_ratio=2, aligned=True)
    boxes = regions().to(CUDA)
    pooling(Pyramid(tuple(levels), STRIDES), boxes)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats(CUDA)
    before = torch.cuda.memory_allocated(CUDA)
    pooled = pooling(Pyramid(tuple(levels), STRIDES), boxes)
    extra = torch.cuda.max_memory_allocated(CUDA) - before
    assert extra < pooled.nbytes + 2**20
    assert extra < levels[0].nbytes / 2
