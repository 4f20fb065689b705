"""RoIAlign level by level: regions are sorted by level, which waits for the device.

torchvision's kernels are what other programs have, and serve on a GPU without Triton.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.torchvision_operators import roi_align, roi_align_backward


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
    """As ``align_regions``, but NCHW in memory; of operators that can be exported where they are to be.

    Raises:
        ValueError: There are ends, or a margin.
    """
    refuse_ends(ends, margin)
    rois, rows = _rois_of(regions, levels[0].dtype), _rows_of_levels(level_index, len(strides))
    pooled = [
        roi_align(
            level.to(rois.dtype),
            rois[own],
            scale=1 / stride,
            num_cells=cells,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
        for level, stride, own in zip(levels, strides, rows, strict=True)
    ]
    in_order = torch.cat(pooled).index_select(0, torch.cat(rows).argsort())
    return in_order.to(levels[0].dtype)


def pool_regions_backward(
    gradient: Tensor,
    shapes: Sequence[Sequence[int]],
    regions: Tensor,
    level_index: Tensor,
    ends: Tensor | None,
    strides: Sequence[int],
    cells: int,  # noqa: ARG001 - the gradient has them
    sampling_ratio: int,
    aligned: bool,
    margin: int,
) -> list[Tensor]:
    """Gradients of the levels, of these shapes, in the dtype of the pooled features' ``gradient``.

    Raises:
        RuntimeError: On a GPU, where it must be deterministic; in torch's words.
        ValueError: As of ``pool_regions``.
    """
    refuse_ends(ends, margin)
    if gradient.is_cuda and torch.are_deterministic_algorithms_enabled():
        raise RuntimeError("roi_align_backward does not have a deterministic implementation")
    rois, rows = _rois_of(regions, gradient.dtype), _rows_of_levels(level_index, len(strides))
    of_levels = [
        roi_align_backward(
            gradient[own].to(rois.dtype),
            rois[own],
            shape,
            scale=1 / stride,
            sampling_ratio=sampling_ratio,
            aligned=aligned,
        )
        for shape, stride, own in zip(shapes, strides, rows, strict=True)
    ]
    return [of_level.to(gradient.dtype) for of_level in of_levels]


def refuse_ends(ends: Tensor | None, margin: int) -> None:
    """Where pictures end is only looked at by Triton's kernels.

    Raises:
        ValueError: Somebody says where they do.
    """
    if ends is not None or margin:
        raise ValueError("without Triton levels go on behind the ends of pictures, and have none")


def _rois_of(regions: Tensor, dtype: torch.dtype) -> Tensor:
    """``(N * R, 5)``: index of the picture, then the box, in a dtype that boxes can be told apart in."""
    num_pictures, num_regions = regions.shape[:2]
    picture_index = torch.arange(num_pictures, device=regions.device, dtype=regions.dtype)
    picture_index = picture_index[:, None, None].expand(-1, num_regions, 1)
    rois = torch.cat((picture_index, regions), dim=2).flatten(0, 1)
    return rois.to(torch.promote_types(dtype, regions.dtype))


def _rows_of_levels(level_index: Tensor, num_levels: int) -> list[Tensor]:
    return [(level_index == level).nonzero().squeeze(1) for level in range(num_levels)]
