"""The CUDA path of synchronised norms against float64 on the CPU.

The group has one process, which is told that it has two: what is sent comes back as it was, so norms must
give what plain ones do.  How processes are weighed does not depend on the device; tests/distributed has that.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hrdet_cli.engine.distributed import collectives
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.norm import sync
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.norm.kernels import InputGradientRows, PlainKernels
from hrdet_cli.engine.norm.known_answer import known_answer_error
from hrdet_cli.engine.norm.native_kernels import FusedKernels
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise_together
from hrdet_cli.engine.norm.vectors import gather
from tests.host_waits import host_waits_are
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 2e-2}
"""Relative to the largest value of a tensor."""
SHAPES = ((2, 18, 33, 40), (3, 36, 17, 20), (1, 72, 9, 10), (2, 144, 5, 5), (1, 5, 1, 1))
"""HRNet-W18's channels, of which none is a power of two, and a single pixel."""


@pytest.fixture
def pretended_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    store = (tmp_path / "store").as_uri()
    dist.init_process_group("nccl", init_method=store, rank=0, world_size=1, device_id=CUDA)
    for module in (sync, collectives):
        monkeypatch.setattr(module, "current_world", lambda: World(0, 2))
    try:
        yield
    finally:
        dist.destroy_process_group()


def seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def assert_near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    atol = TOLERANCES[dtype] * max(1e-3, expected.abs().max().item())
    torch.testing.assert_close(found.detach().cpu().double(), expected.detach(), rtol=0, atol=atol)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("affine", [True, False])
def test_fused_kernels_compute_what_plain_operations_do_in_float64(
    shape: tuple[int, ...], layout: torch.memory_format, dtype: torch.dtype, affine: bool
) -> None:
    channels = shape[1]
    features = (2 * seeded(shape, 0) + 3).to(dtype).contiguous(memory_format=layout)
    gradient = seeded(shape, 1).to(dtype)
    precision = torch.promote_types(dtype, torch.float32)
    vectors = [seeded((channels,), seed).abs().add(0.5).to(precision) for seed in range(2, 8)]
    weight, bias, mean, inverse_std, mean_gradient, mean_product = vectors

    def compute(
        kernels: PlainKernels | FusedKernels, device: torch.device, cast: torch.dtype
    ) -> list[Tensor]:
        x, g = features.to(device, cast), gradient.to(device, cast)
        w, b, m, s, mg, mp = (
            v.to(device, torch.promote_types(cast, torch.float32))
            for v in (weight, bias, mean, inverse_std, mean_gradient, mean_product)
        )
        scale, shift = (w, b) if affine else (None, None)
        _, rows = gather((m, s, w if affine else torch.ones_like(w), mg, mp), 5)
        return [
            *kernels.statistics(x),
            kernels.normalise(x, scale, shift, m, s.pow(-2), s),
            *kernels.gradient_sums(g, x, m, s.pow(-2), s),
            *kernels.input_gradients([g], [x], InputGradientRows(*rows)),
        ]

    found = compute(FusedKernels(), CUDA, dtype)
    expected = compute(PlainKernels(), torch.device("cpu"), torch.float64)

    maps = (2, 5)
    for index, (ours, exact) in enumerate(zip(found, expected, strict=True)):
        assert ours.dtype == (dtype if index in maps else precision)
        assert index not in maps or ours.is_contiguous(memory_format=layout)
        # Vectors are sums in at least float32, so bfloat16 features lose nothing there.
        assert_near(ours, exact, dtype if index in maps else precision)


@pytest.mark.usefixtures("pretended_pair")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_norms_that_share_a_message_equal_plain_ones_in_float64(
    layout: torch.memory_format, dtype: torch.dtype
) -> None:
    shapes = SHAPES[:4]
    plain = [nn.BatchNorm2d(shape[1], dtype=torch.float64) for shape in shapes]
    ours = [SyncBatchNorm2d(shape[1], dtype=dtype, device=CUDA) for shape in shapes]
    pictures = [(2 * seeded(shape, i) + i).requires_grad_() for i, shape in enumerate(shapes)]
    copies = [x.detach().to(CUDA, dtype).contiguous(memory_format=layout).requires_grad_() for x in pictures]
    slopes = [seeded(shape, 50 + i) for i, shape in enumerate(shapes)]

    expected = [norm(x) for norm, x in zip(plain, pictures, strict=True)]
    torch.autograd.backward(expected, slopes)
    found = normalise_together(list(zip(ours, copies, strict=True)))
    torch.autograd.backward(found, [slope.to(CUDA, dtype) for slope in slopes])

    for y, exact, x, exact_x in zip(found, expected, copies, pictures, strict=True):
        assert_near(y, exact, dtype)
        assert y.is_contiguous(memory_format=layout)
        assert_near(_gradient_of(x), _gradient_of(exact_x), dtype)
        assert _gradient_of(x).is_contiguous(memory_format=layout)
    for norm, exact_norm in zip(ours, plain, strict=True):
        for name, parameter in norm.named_parameters():
            assert_near(_gradient_of(parameter), _gradient_of(exact_norm.get_parameter(name)), dtype)
        for name, buffer in norm.named_buffers():
            assert_near(buffer, exact_norm.get_buffer(name).double(), dtype)


@pytest.mark.usefixtures("pretended_pair")
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("autocast", [False, True])
def test_a_step_never_waits_for_the_device(momentum: float | None, autocast: bool) -> None:
    network = HRNet(HRNET_CONFIGS["small"])
    convert_norm(network, kind="sync")
    for module in network.modules():
        if isinstance(module, SyncBatchNorm2d):
            module.momentum = momentum
    network.to(CUDA, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(2, 3, 64, 96, device=CUDA)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            features = network(pixels)
        torch.autograd.backward([map_.float().square().mean() for map_ in features])

    step()  # algorithms are chosen and the group is connected in the first
    with host_waits_are("error"):
        step()

    gradients: list[Any] = [parameter.grad for parameter in network.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "torch"])
def test_the_known_answer_is_found_on_the_device(back_end: Any) -> None:
    assert known_answer_error(back_end=back_end, device=CUDA) < 1e-5


def _gradient_of(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise AssertionError("no gradient reached this tensor")
    return tensor.grad
