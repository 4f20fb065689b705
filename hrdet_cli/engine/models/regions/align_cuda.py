"""RoIAlign on a GPU: Triton kernels that read every level as it lies.

He et al., https://arxiv.org/abs/1703.06870, section 3. torchvision's kernels want a level in float32, NCHW.
One in bfloat16 that lies channels-last, as convolutions leave it, is copied twice for them, to four times its
size in all, and so is its gradient. Here a program looks up the channels of one cell of one region, which lie
side by side, in whatever dtype they have, and adds up in float32.

The kernels run on a CPU too, by Triton's interpreter (``TRITON_INTERPRET=1``).
"""

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

OPTIONS = MappingProxyType({"enable_fp_fusion": True})
"""How Triton compiles, whose own default depends on its version.

Products and sums may be fused into one operation, as torchvision's own kernels for GPUs have them. That moves
last bits of weights and sums alone: a scale is a power of two, so a region's sides in cells are exact either
way, and with them how many samples it has.
"""
_CHANNELS_PER_WARP = 128
_CHANGING = ["level", "num_levels", "num_per_picture", "height", "width", "margin", "cells"]
"""Integers for whose values Triton is not to compile anew: there are many levels and canvases."""
_FIXED_POINT = 2.0**40
"""What the largest gradient of a cell becomes where integers are added up: room for 2^22 of its size."""


def pool_regions(
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
    """As ``align_regions``."""
    num_regions, num_channels = level_index.numel(), levels[0].shape[1]
    pooled = _channels_last((num_regions, num_channels, cells, cells), levels[0])
    if num_regions == 0:
        return pooled
    boxes = regions.to(torch.promote_types(pooled.dtype, torch.float32)).contiguous()
    wheres = _launches(levels, boxes, level_index, ends, strides, aligned=aligned, margin=margin)
    for level, where in zip(levels, wheres, strict=True):
        with torch.cuda.device_of(pooled):  # type: ignore[no-untyped-call]
            _pool_level[(num_regions, cells * cells)](
                level,
                pooled,
                **where,
                cells=cells,
                ratio=sampling_ratio,
                block=triton.next_power_of_2(num_channels),
                sum_dtype=_sum_dtype(level.dtype),
                num_warps=_num_warps(num_channels),
                **OPTIONS,
            )
    return pooled


def pool_regions_backward(
    gradient: Tensor,
    shapes: Sequence[Sequence[int]],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> list[Tensor]:
    """Gradients of the levels, of these shapes, in the dtype of the pooled features' ``gradient``.

    Where torch's deterministic algorithms are asked for, integers are added up, whose sum is the same in any
    order; their unit is the 2^40th part of the largest gradient.
    """
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    is_fixed = torch.are_deterministic_algorithms_enabled()
    precision = torch.promote_types(gradient.dtype, torch.float32)
    unit = torch.ones(1, dtype=torch.float64, device=gradient.device)
    if is_fixed and gradient.numel():
        unit = _FIXED_POINT / gradient.abs().amax().double().clamp(min=1e-30).view(1)
    dtype = torch.int64 if is_fixed else precision
    sums = [_channels_last(shape, gradient, dtype=dtype).zero_() for shape in shapes]
    if gradient.numel():
        boxes = regions.to(precision).contiguous()
        wheres = _launches(sums, boxes, level_index, ends, strides, aligned=aligned, margin=margin)
        for into, where in zip(sums, wheres, strict=True):
            with torch.cuda.device_of(gradient):  # type: ignore[no-untyped-call]
                _spread_level[(level_index.numel(), cells * cells)](
                    into,
                    gradient,
                    unit,
                    **where,
                    cells=cells,
                    ratio=sampling_ratio,
                    block=triton.next_power_of_2(gradient.shape[1]),
                    sum_dtype=_sum_dtype(gradient.dtype),
                    is_fixed=is_fixed,
                    num_warps=_num_warps(gradient.shape[1]),
                    **OPTIONS,
                )
    if is_fixed:
        return [(into.double() / unit).to(gradient.dtype) for into in sums]
    return [into.to(gradient.dtype) for into in sums]


def _channels_last(shape: Sequence[int], like: Tensor, *, dtype: torch.dtype | None = None) -> Tensor:
    """Memory for maps ``(N, C, H, W)``, on a tensor's device and, unless another is named, in its dtype."""
    return torch.empty(
        tuple(shape), dtype=dtype or like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _launches(
    levels: Sequence[Tensor],
    boxes: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    *,
    aligned: bool,
    margin: int,
) -> Iterator[dict[str, Any]]:
    """The arguments that both kernels have, for each level."""
    for number, (level, stride) in enumerate(zip(levels, strides, strict=True)):
        s_picture, s_channel, s_row, s_column = level.stride()
        yield {
            "boxes": boxes,
            "level_index": level_index,
            "ends": level_index if ends is None else ends,
            "level": number,
            "num_levels": len(strides),
            "num_channels": level.shape[1],
            "num_per_picture": boxes.shape[1],
            "height": level.shape[2],
            "width": level.shape[3],
            "s_picture": s_picture,
            "s_channel": s_channel,
            "s_row": s_row,
            "s_column": s_column,
            "scale": 1 / stride,
            "offset": 0.5 if aligned else 0.0,
            "least_side": 0.0 if aligned else 1.0,
            "margin": margin,
            "has_ends": ends is not None,
        }


def _sum_dtype(dtype: torch.dtype) -> Any:
    return tl.float64 if dtype == torch.float64 else tl.float32


def _num_warps(num_channels: int) -> int:
    num_warps: int = triton.next_power_of_2(num_channels) // _CHANNELS_PER_WARP
    return min(4, max(1, num_warps))


@triton.jit(do_not_specialize=_CHANGING)  # type: ignore[untyped-decorator]
def _pool_level(  # type: ignore[no-untyped-def]  # Triton's types are not Python's
    features,
    pooled,
    boxes,
    level_index,
    ends,
    level,
    num_levels,
    num_channels,
    num_per_picture,
    height,
    width,
    s_picture,
    s_channel,
    s_row,
    s_column,
    scale,
    offset,
    least_side,
    margin,
    cells,
    ratio: tl.constexpr,
    block: tl.constexpr,
    sum_dtype: tl.constexpr,
    has_ends: tl.constexpr,
):
    """Pool one cell of one region, if it looks at this level.

    Args:
        features: To the level, ``(N, C, H, W)`` with the strides ``s_*``.
        pooled: To ``(R, cells, cells, C)``, which is filled in.
        boxes: To ``(R, 4)`` canvas pixels, ``num_per_picture`` of each picture.
        level_index: To ``(R,)`` int32.
        ends: To ``(N, num_levels, 2)`` int32, rows and columns of each picture; read if ``has_ends``.
        level: Number of the level.
        num_levels: That there are.
        num_channels: C.
        num_per_picture: R / N.
        height: Rows of the level.
        width: Columns of it.
        s_picture: Elements from one picture to the next; the other three likewise.
        s_channel: Of channels.
        s_row: Of rows.
        s_column: Of columns.
        scale: Cells per pixel.
        offset: Subtracted from coordinates in cells.
        least_side: Regions are made as large, in cells.
        margin: Cells beyond the end of a picture where its last one is read.
        cells: Along a side of the result.
        ratio: Samples per cell and axis; 0 takes about one for each cell of the level.
        block: A power of two from C on.
        sum_dtype: The dtype that is added up in.
        has_ends: Whether pictures end before the level does.
    """
    region = tl.program_id(0)
    cell = tl.program_id(1)
    if tl.load(level_index + region) == level:
        picture = (region // num_per_picture).to(tl.int64)
        end_y, end_x = height, width
        if has_ends:
            end_y = tl.load(ends + (picture * num_levels + level) * 2)
            end_x = tl.load(ends + (picture * num_levels + level) * 2 + 1)
        x, step_x, num_x = _samples(boxes + region * 4, cell % cells, scale, offset, least_side, cells, ratio)
        y, step_y, num_y = _samples(
            boxes + region * 4 + 1, cell // cells, scale, offset, least_side, cells, ratio
        )
        channels = tl.arange(0, block)
        is_channel = channels < num_channels
        of_picture = features + picture * s_picture + channels * s_channel
        total = tl.full([block], 0.0, sum_dtype)
        for row in range(num_y):
            top, bottom, above, below = _neighbours(y + (row + 0.5) * step_y, end_y, margin)
            for column in range(num_x):
                left, right, before, behind = _neighbours(x + (column + 0.5) * step_x, end_x, margin)
                upper = of_picture + top * s_row
                lower = of_picture + bottom * s_row
                total += above * before * tl.load(upper + left * s_column, is_channel, 0.0).to(sum_dtype)
                total += above * behind * tl.load(upper + right * s_column, is_channel, 0.0).to(sum_dtype)
                total += below * before * tl.load(lower + left * s_column, is_channel, 0.0).to(sum_dtype)
                total += below * behind * tl.load(lower + right * s_column, is_channel, 0.0).to(sum_dtype)
        total = total / tl.maximum(num_x * num_y, 1)
        place = (region.to(tl.int64) * cells * cells + cell) * num_channels
        tl.store(pooled + place + channels, total.to(pooled.dtype.element_ty), mask=is_channel)


@triton.jit(do_not_specialize=_CHANGING)  # type: ignore[untyped-decorator]
def _spread_level(  # type: ignore[no-untyped-def]  # Triton's types are not Python's
    sums,
    gradient,
    unit,
    boxes,
    level_index,
    ends,
    level,
    num_levels,
    num_channels,
    num_per_picture,
    height,
    width,
    s_picture,
    s_channel,
    s_row,
    s_column,
    scale,
    offset,
    least_side,
    margin,
    cells,
    ratio: tl.constexpr,
    block: tl.constexpr,
    sum_dtype: tl.constexpr,
    has_ends: tl.constexpr,
    is_fixed: tl.constexpr,
):
    """Add the gradient of one cell of one region to the cells of this level that it was made of.

    Args as of ``_pool_level``, and:
        sums: To the level's gradient; float, or int64 if ``is_fixed``.
        gradient: To that of the pooled features, ``(R, cells, cells, C)``.
        unit: To a float64, by which is multiplied what becomes an integer.
        is_fixed: Whether integers are added up.
    """
    region = tl.program_id(0)
    cell = tl.program_id(1)
    if tl.load(level_index + region) == level:
        picture = (region // num_per_picture).to(tl.int64)
        end_y, end_x = height, width
        if has_ends:
            end_y = tl.load(ends + (picture * num_levels + level) * 2)
            end_x = tl.load(ends + (picture * num_levels + level) * 2 + 1)
        x, step_x, num_x = _samples(boxes + region * 4, cell % cells, scale, offset, least_side, cells, ratio)
        y, step_y, num_y = _samples(
            boxes + region * 4 + 1, cell // cells, scale, offset, least_side, cells, ratio
        )
        channels = tl.arange(0, block)
        is_channel = channels < num_channels
        place = (region.to(tl.int64) * cells * cells + cell) * num_channels
        upstream = tl.load(gradient + place + channels, is_channel, 0.0).to(sum_dtype)
        upstream = upstream / tl.maximum(num_x * num_y, 1)
        if is_fixed:
            upstream = upstream.to(tl.float64) * tl.load(unit)
        of_picture = sums + picture * s_picture + channels * s_channel
        for row in range(num_y):
            top, bottom, above, below = _neighbours(y + (row + 0.5) * step_y, end_y, margin)
            for column in range(num_x):
                left, right, before, behind = _neighbours(x + (column + 0.5) * step_x, end_x, margin)
                upper = of_picture + top * s_row
                lower = of_picture + bottom * s_row
                _add(upper + left * s_column, above * before * upstream, is_channel)
                _add(upper + right * s_column, above * behind * upstream, is_channel)
                _add(lower + left * s_column, below * before * upstream, is_channel)
                _add(lower + right * s_column, below * behind * upstream, is_channel)


@triton.jit
def _add(into, values, mask):  # type: ignore[no-untyped-def]  # Triton's types are not Python's
    """Add, whatever others add meanwhile."""
    tl.atomic_add(into, values.to(into.dtype.element_ty), mask=mask, sem="relaxed")


@triton.jit  # type: ignore[untyped-decorator]
def _samples(side, cell, scale, offset, least_side, cells, ratio: tl.constexpr):  # type: ignore[no-untyped-def]  # Triton's types are not Python's
    """Where a cell of a region begins on an axis, from one of its samples to the next, and how many they are.

    Args:
        side: To the region's first side on the axis; the second one is two further.
        cell: Number of the cell.
        scale: As of ``_pool_level``, as all others.
        offset: Likewise.
        least_side: Likewise.
        cells: Likewise.
        ratio: Likewise.
    """
    start = tl.load(side) * scale - offset
    length = tl.maximum(tl.load(side + 2) * scale - offset - start, least_side)
    # In float32 "/" may be off by a bit, and with it the number of samples by one.
    cell_length = tl.div_rn(length, cells.to(tl.float32)) if length.dtype == tl.float32 else length / cells
    num_samples = tl.ceil(cell_length).to(tl.int32)
    if ratio > 0:
        num_samples = tl.full([], ratio, tl.int32)
    return start + cell * cell_length, cell_length / tl.maximum(num_samples, 1), num_samples


@triton.jit
def _neighbours(position, end, margin):  # type: ignore[no-untyped-def]  # Triton's types are not Python's
    """The two cells around a place on an axis, and their weights there: 0 where nothing is read.

    Args:
        position: In cells.
        end: Cells of the picture.
        margin: As of ``_pool_level``.
    """
    is_read = (position >= -1) & (position <= end + margin)
    position = tl.maximum(position, 0)
    first = position.to(tl.int32)
    is_last = first >= end - 1
    share = tl.where(is_last, 0, position - first)
    first = tl.where(is_last, end - 1, first)
    return (
        first,
        tl.minimum(first + 1, end - 1),
        tl.where(is_read, 1 - share, 0),
        tl.where(is_read, share, 0),
    )
