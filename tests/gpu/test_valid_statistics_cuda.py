"""Statistics over the pictures' pixels on CUDA, against float64 on the CPU."""

import copy

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.kernels import Reductions
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.norm.valid_kernels import ValidFusedKernels, ValidPlainKernels, valid_kernels_for
from hrdet_cli.engine.structures import Size
from tests.host_waits import host_waits_are
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Relative to the largest value of a tensor."""
CANVAS = Size(128, 192)
SIZES = torch.tensor([[128, 70], [33, 192]])


def seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_near(found: Tensor, expected: Tensor, tolerance: float) -> None:
    atol = tolerance * max(1e-3, expected.abs().max().item())
    torch.testing.assert_close(found.detach().cpu().double(), expected.detach(), rtol=0, atol=atol)


def computed(
    kernels: Reductions, device: torch.device, dtype: torch.dtype, layout: torch.memory_format
) -> list[Tensor]:
    """Of features with 18 channels at stride 8."""
    shape = (2, 18, 16, 24)
    features, gradient = (
        x.to(device, dtype).contiguous(memory_format=layout)
        for x in (2 * seeded(shape, 0) + 3, seeded(shape, 1))
    )
    precision = torch.promote_types(dtype, torch.float32)
    mean, inverse_std = (seeded((18,), seed).abs().add(0.5).to(device, precision) for seed in range(2, 4))
    return [
        *kernels.statistics(features),
        *kernels.gradient_sums(gradient, features, mean, inverse_std.pow(-2), inverse_std),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_kernels_with_fused_parts_compute_what_plain_operations_do_in_float64(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    on_cpu, on_cuda = (ValidArea.on_canvas(CANVAS, SIZES.to(device)).levels[2] for device in ("cpu", CUDA))
    expected = computed(ValidPlainKernels(on_cpu), torch.device("cpu"), torch.float64, layout)
    for kernels in (ValidFusedKernels(on_cuda), ValidPlainKernels(on_cuda)):
        for ours, exact in zip(computed(kernels, CUDA, dtype, layout), expected, strict=True):
            assert_near(ours, exact, TOLERANCES[dtype])


def test_features_on_the_device_get_the_kernels_with_fused_parts() -> None:
    cells = ValidArea.on_canvas(CANVAS, SIZES.to(CUDA)).levels[2]
    assert isinstance(valid_kernels_for(torch.empty(2, 18, 16, 24, device=CUDA), cells), ValidFusedKernels)


class Trunk(torch.nn.Module):
    """HRNet and its neck."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = HRNet(HRNET_CONFIGS["small"])
        self.neck = HRFPN(in_channels=self.backbone.out_channels, out_channels=8)

    def forward(self, pixels: Tensor, area: ValidArea) -> tuple[Tensor, ...]:
        pyramid: Pyramid = self.neck(self.backbone(pixels, area), area)
        return pyramid.levels


def test_a_network_on_the_device_equals_that_on_the_cpu_whatever_the_canvas() -> None:
    torch.manual_seed(0)
    on_cpu = Trunk().double()
    on_cuda = copy.deepcopy(on_cpu).to(CUDA, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = seeded((2, 3, CANVAS.height, CANVAS.width), 0)
    for picture, (height, width) in zip(pixels, SIZES.tolist(), strict=True):
        picture[:, height:] = 0
        picture[:, :, width:] = 0
    larger = torch.nn.functional.pad(pixels, (0, 64, 0, 128))
    for network, device, pictures in ((on_cpu, "cpu", pixels), (on_cuda, CUDA, larger)):
        canvas = Size(*pictures.shape[-2:])
        levels = network(pictures.to(device), ValidArea.on_canvas(canvas, SIZES.to(device)))
        torch.autograd.backward([level.square().sum() for level in levels])
    for parameter, expected in zip(on_cuda.parameters(), on_cpu.parameters(), strict=True):
        assert parameter.grad is not None
        assert expected.grad is not None
        assert_near(parameter.grad, expected.grad, 1e-8)
    for buffer, expected_buffer in zip(on_cuda.buffers(), on_cpu.buffers(), strict=True):
        assert_near(buffer, expected_buffer.double(), 1e-9)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_step_never_waits_for_the_device(autocast: bool) -> None:
    network = Trunk().to(CUDA, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(2, 3, CANVAS.height, CANVAS.width, device=CUDA)
    sizes = SIZES.to(CUDA)

    def step() -> None:
        area = ValidArea.on_canvas(CANVAS, sizes)
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            levels = network(pixels, area)
        torch.autograd.backward([level.float().square().mean() for level in levels])

    step()  # algorithms are chosen in the first
    with host_waits_are("error"):
        step()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
