"""RoIAlign over all levels as one operator, whose result has a fixed shape.

How many regions a level gets is known on the device alone. On a CPU there is nothing to wait for: see
``align_cpu``. A GPU must not be waited for, and levels are large there: see ``align_cuda``. Where its kernels
cannot be built, torchvision's serve: see ``align_by_level``.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.models.regions import align_by_level, align_cpu
from hrdet_cli.engine.own_operators import define_operator


def align_regions(
    levels: Sequence[Tensor],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> Tensor:
    """Cut every region out of its own level.

    Args:
        levels: ``(N, C, H / s, W / s)`` for each stride s.
        regions: ``(N, R, 4)`` float32 in canvas pixels.
        level_index: ``(N * R,)`` int32, the number of each region's level.
        ends: ``(N, L, 2)`` int32, rows and columns of each picture's cells on each level, behind which its
            last ones are read; None where pictures fill the levels, as they have to without Triton.
        strides: Pixels per cell of each level.
        cells: Along a side of the result.
        sampling_ratio: Samples per cell and axis; 0 takes about one for each cell of the level.
        aligned: Whether cell ``i`` is centred at ``i + 0.5`` strides, or at ``i``.
        margin: How many cells behind the end of a picture its last ones are read.

    Returns:
        ``(N * R, C, cells, cells)`` in the levels' dtype, picture by picture; channels-last with Triton.

    Raises:
        ValueError: There are ends, and they are not looked at.
    """
    pooled: Tensor = torch.ops.hrdet.align_regions(
        levels, regions, level_index, ends, strides, cells, sampling_ratio, aligned, margin
    )
    return pooled


def _pool_on_gpu(*values: Any) -> Tensor:
    pooled: Tensor = _kernels_of_gpu().pool_regions(*values)
    return pooled


def _pool_no_values(
    levels: Sequence[Tensor], _regions: Tensor, level_index: Tensor, *settings: Any
) -> Tensor:
    _ends, _strides, cells, *_ = settings
    return _maps((level_index.shape[0], levels[0].shape[1], cells, cells), levels[0])


def _pool_backward_on_cpu(
    gradient: Tensor,
    shapes: Sequence[int],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> list[Tensor]:
    """Gradients of the levels, whose shapes are put end to end."""
    return align_cpu.pool_regions_backward(
        gradient,
        in_fours(shapes),
        regions,
        level_index,
        ends,
        strides,
        cells,
        sampling_ratio,
        aligned,
        margin,
    )


def _pool_backward_on_gpu(gradient: Tensor, shapes: Sequence[int], *values: Any) -> list[Tensor]:
    of_levels: list[Tensor] = _kernels_of_gpu().pool_regions_backward(gradient, in_fours(shapes), *values)
    return of_levels


def _pool_backward_no_values(gradient: Tensor, shapes: Sequence[int], *_settings: Any) -> list[Tensor]:
    return [_maps(shape, gradient) for shape in in_fours(shapes)]


def _kernels_of_gpu() -> ModuleType:
    """Who pools on a GPU; both take arguments in the order of the operators."""
    if not triton_kernels.are_used():
        return align_by_level
    from hrdet_cli.engine.models.regions import align_cuda  # Triton comes with CUDA alone

    return align_cuda


def _maps(shape: Sequence[int], like: Tensor) -> Tensor:
    """What kernels of a tensor's device would return."""
    is_triton = like.is_cuda and triton_kernels.are_used()
    memory_format = torch.channels_last if is_triton else torch.contiguous_format
    return torch.empty(tuple(shape), dtype=like.dtype, device=like.device, memory_format=memory_format)


def in_fours(numbers: Sequence[int]) -> list[Sequence[int]]:
    """Shapes of levels that were put end to end, as the operator of the way back takes them."""
    return [numbers[start : start + 4] for start in range(0, len(numbers), 4)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - what torch calls
    levels, regions, level_index, ends, *settings = inputs
    ctx.save_for_backward(regions, level_index, *(() if ends is None else (ends,)))
    ctx.shapes = [size for level in levels for size in level.shape]
    ctx.settings = settings


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    regions, level_index, *ends = ctx.saved_tensors
    of_levels = torch.ops.hrdet.align_regions_backward(
        gradient, ctx.shapes, regions, level_index, ends[0] if ends else None, *ctx.settings
    )
    return of_levels, *[None] * (3 + len(ctx.settings))


define_operator("align_regions", cpu=align_cpu.pool_regions, cuda=_pool_on_gpu, fake=_pool_no_values)
define_operator(
    "align_regions_backward",
    cpu=_pool_backward_on_cpu,
    cuda=_pool_backward_on_gpu,
    fake=_pool_backward_no_values,
)
torch.library.register_autograd("hrdet::align_regions", _backward, setup_context=_remember)
