"""The GPU's kernels of RoIAlign, run by Triton's interpreter, against torchvision's on the CPU."""

import importlib.util
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling, pyramid_levels
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.structures import Size

KERNELS = "hrdet_cli.engine.models.regions.align_cuda"
STRIDES, CELLS, CHANNELS = (4, 8), 2, 3
CANVAS, SIZES = Size(64, 64), torch.tensor([[64, 64], [32, 64]])


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as it is under Triton's interpreter, beside the one that compiles."""
    pytest.importorskip("triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    spec = importlib.util.find_spec(KERNELS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def levels_of(dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Zero outside the pictures, channels-last."""
    generator = torch.Generator().manual_seed(0)
    area = ValidArea.on_canvas(CANVAS, SIZES)
    levels = []
    for stride in STRIDES:
        maps = torch.randn(2, CHANNELS, CANVAS.height // stride, CANVAS.width // stride, generator=generator)
        maps = (maps * area.cells_of(maps).is_valid).to(dtype)
        levels.append(maps.contiguous(memory_format=torch.channels_last).requires_grad_())
    return tuple(levels)


def regions() -> Tensor:
    """Of both levels; some at the edges of their pictures, a sliver, and an empty one."""
    (height, width), (end_y, end_x) = SIZES.tolist()
    of_first = [[0, 0, width, height], [5.3, 7.9, 21.2, 18.4], [0, 0, 0, 0]]
    of_second = [[0, 0, end_x, end_y], [end_x - 30, end_y - 20, end_x, end_y], [end_x - 0.5, 3, end_x, 29]]
    return torch.tensor([of_first, of_second], dtype=torch.float32)


def on_cpu(ratio: int, aligned: bool, dtype: torch.dtype, *, with_area: bool) -> tuple[Tensor, list[Tensor]]:
    """What the module gives, and gradients of its levels."""
    levels = levels_of(dtype)
    area = ValidArea.on_canvas(CANVAS, SIZES) if with_area else None
    pooling = RegionPooling(
        strides=STRIDES, cells=CELLS, sampling_ratio=ratio, aligned=aligned, finest_side_pixels=14
    )
    pooled = pooling(Pyramid(levels, STRIDES, area=area), regions())
    gradients = torch.autograd.grad(pooled, levels, upstream(pooled))
    # Cells of the padding are zero whatever their gradients are.
    return pooled, [without_padding(gradient, area) for gradient in gradients]


def upstream(pooled: Tensor) -> Tensor:
    return torch.sin(torch.arange(pooled.numel())).view_as(pooled).to(pooled.dtype)


def arguments(ratio: int, aligned: bool, *, with_area: bool) -> tuple[Sequence[Any], dict[str, Any]]:
    level_index = pyramid_levels(regions(), num_levels=2, finest_side_pixels=14).flatten().to(torch.int32)
    assert set(level_index.tolist()) == {0, 1}
    ends = None
    if with_area:
        levels = ValidArea.on_canvas(CANVAS, SIZES).levels[1:3]  # at strides 4 and 8
        ends = torch.stack([cells.sizes for cells in levels], dim=1).to(torch.int32)
    settings: dict[str, Any] = {
        "strides": STRIDES,
        "cells": CELLS,
        "sampling_ratio": ratio,
        "aligned": aligned,
        "margin": 0 if ends is None else 1 if aligned else 2,
    }
    return (regions(), level_index, ends), settings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "ratio", "aligned", "with_area"),
    [  # tests/gpu has all others; the interpreter takes its time
        (torch.float32, 2, False, False),
        (torch.float32, 2, True, True),
        (torch.float32, 0, True, False),
        (torch.float32, 0, False, True),
        (torch.float64, 0, True, True),
        (torch.bfloat16, 2, True, True),
    ],
)
def test_the_kernels_compute_what_torchvisions_do(
    kernels: ModuleType, dtype: torch.dtype, ratio: int, aligned: bool, with_area: bool
) -> None:
    wanted, wanted_gradients = on_cpu(ratio, aligned, dtype, with_area=with_area)
    inputs, settings = arguments(ratio, aligned, with_area=with_area)
    levels = [level.detach() for level in levels_of(dtype)]
    pooled = kernels.pool_regions(levels, *inputs, **settings)
    assert pooled.dtype == dtype
    assert pooled.is_contiguous(memory_format=torch.channels_last)
    atol = {torch.float64: 1e-6, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(pooled, wanted.detach(), rtol=0, atol=atol)
    shapes = [level.shape for level in levels]
    gradients = kernels.pool_regions_backward(upstream(pooled), shapes, *inputs, **settings)
    for found, exact, level in zip(gradients, wanted_gradients, levels, strict=True):
        assert (found.dtype, found.stride()) == (dtype, level.stride())
        assert exact.abs().sum() > 0
        torch.testing.assert_close(found, exact, rtol=atol, atol=4 * atol)


@pytest.mark.slow
def test_the_deterministic_sum_is_that_of_the_other_and_does_not_depend_on_an_order(
    kernels: ModuleType,
) -> None:
    inputs, settings = arguments(2, True, with_area=False)
    levels = [level.detach() for level in levels_of(torch.float32)]
    gradient = upstream(kernels.pool_regions(levels, *inputs, **settings))
    shapes = [level.shape for level in levels]
    floating = kernels.pool_regions_backward(gradient, shapes, *inputs, **settings)
    boxes, level_index, _ = inputs
    order = torch.tensor([2, 0, 1])
    by_picture = gradient.view(2, 3, *gradient.shape[1:])[:, order].flatten(0, 1)
    shuffled = (boxes[:, order], level_index.view(2, 3)[:, order].flatten(), None)
    torch.use_deterministic_algorithms(True)
    try:
        fixed = kernels.pool_regions_backward(gradient, shapes, *inputs, **settings)
        again = kernels.pool_regions_backward(by_picture, shapes, *shuffled, **settings)
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other, plain in zip(fixed, again, floating, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(one, plain, rtol=1e-5, atol=1e-6)


def test_without_regions_there_are_no_features_and_no_gradients(kernels: ModuleType) -> None:
    levels = [level.detach() for level in levels_of(torch.float32)]
    none = (torch.zeros(2, 0, 4), torch.zeros(0, dtype=torch.int32), None)
    _, settings = arguments(2, True, with_area=False)
    pooled = kernels.pool_regions(levels, *none, **settings)
    assert pooled.shape == (0, CHANNELS, CELLS, CELLS)
    gradients = kernels.pool_regions_backward(pooled, [level.shape for level in levels], *none, **settings)
    assert [gradient.abs().sum().item() for gradient in gradients] == [0, 0]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_the_operator_is_what_torch_wants_of_one() -> None:
    inputs, settings = arguments(0, True, with_area=False)
    values = (levels_of(torch.float32), *inputs, *settings.values())
    torch.library.opcheck(torch.ops.hrdet.align_regions.default, values)


@pytest.mark.parametrize("is_built", [False, True], ids=["torchvision", "Triton"])
@pytest.mark.parametrize("with_area", [False, True], ids=["whole canvas", "pictures"])
def test_on_a_gpu_features_are_pooled_in_bfloat16_as_they_lie_and_shapes_are_known_beforehand(
    monkeypatch: pytest.MonkeyPatch, with_area: bool, is_built: bool
) -> None:
    monkeypatch.setattr(triton_kernels, "are_used", lambda: is_built)
    # Fake tensors have a device and no values: to mix devices or to read a value raises.
    pooling = RegionPooling(strides=STRIDES, cells=CELLS, sampling_ratio=0, aligned=True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        levels = tuple(level.detach().to("cuda") for level in levels_of(torch.bfloat16))
        area = ValidArea.on_canvas(CANVAS, SIZES.to("cuda")) if with_area else None
        pooled = pooling(Pyramid(levels, STRIDES, area=area), regions().to("cuda"))
    assert (pooled.shape, pooled.dtype) == ((6, CHANNELS, CELLS, CELLS), torch.bfloat16)
    assert pooled.device.type == "cuda"
    assert pooled.is_contiguous(memory_format=torch.channels_last) is is_built


@pytest.mark.parametrize("name", ["_pool_level", "_spread_level"])
@pytest.mark.parametrize("is_fixed", [False, True])
def test_the_kernels_compile_for_a_gpu_without_one(name: str, is_fixed: bool) -> None:
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    module = importlib.import_module(KERNELS)
    kernel = getattr(module, name)
    if name == "_pool_level" and is_fixed:
        pytest.skip("only gradients are added up")
    fixed = {
        "ratio": 0,
        "block": 256,
        "sum_dtype": triton.language.float32,
        "has_ends": True,
        "is_fixed": is_fixed,
    }
    types = {
        "features": "*bf16",
        "pooled": "*bf16",
        "gradient": "*bf16",
        "sums": "*i64" if is_fixed else "*fp32",
        "unit": "*fp64",
        "boxes": "*fp32",
        "level_index": "*i32",
        "ends": "*i32",
        **dict.fromkeys(("scale", "offset", "least_side"), "fp32"),
    }
    signature = {
        argument: "constexpr" if argument in fixed else types.get(argument, "i32")
        for argument in kernel.arg_names
    }
    constants = {argument: fixed[argument] for argument in kernel.arg_names if argument in fixed}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=dict(module.OPTIONS))
    assert "fma.rn.f32" in compiled.asm["ptx"]
    assert len(compiled.asm["cubin"]) > 0
