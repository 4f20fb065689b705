"""Non-maximum suppression of many lists of boxes at once, as an operator whose result has a fixed shape.

What happens in a list depends on that list alone: boxes are compared as they are. ``batched_nms`` of
torchvision shifts each group's boxes by a multiple of the largest coordinate, if there are few, which rounds
them by an amount that depends on the other boxes: the same two can be judged differently in other company.

On a CPU long lists go through ``torchvision.ops.nms``, which would compare boxes of different lists in vain,
and short ones together. A GPU must not be waited for, and how many boxes survive is known there alone: see
``nms_cuda``. Boxes in float64, and all where its kernel cannot be built, go through ``torchvision.ops.nms``
list by list. All keep the same boxes, to the bit.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.own_operators import define_operator
from hrdet_cli.engine.torchvision_operators import nms

_LONGEST_SHORT_LIST = 48
"""Up to here comparing all boxes of all lists costs less than calling ``torchvision.ops.nms`` for each."""
_SHORT_LISTS_AT_ONCE = 1024
"""Whose overlaps take 40 MB at most."""


def keep_after_nms(
    boxes: Tensor, scores: Tensor, *, lengths: Sequence[int | torch.SymInt], max_iou: float
) -> Tensor:
    """Which boxes survive: the best of a list, then each that overlaps no better surviving one too much.

    Args:
        boxes: ``(..., R, 4)`` float32, or float64, for which a GPU is waited for.
        scores: ``(..., R)``; of equal ones the first is the best. A box with minus infinity never survives
            and suppresses no other.
        lengths: R boxes are as many lists, one after the other, of these lengths; symbols in an export.
        max_iou: A box that overlaps a better surviving one of its list by more than this does not survive.
            Overlaps are in the boxes' dtype, and boxes without area overlap nothing.

    Returns:
        ``(..., R)`` bool.
    """
    keep: Tensor = torch.ops.hrdet.keep_after_nms(boxes, scores, lengths=lengths, max_iou=max_iou)
    return keep


def _keep_on_cpu(boxes: Tensor, scores: Tensor, *, lengths: Sequence[int], max_iou: float) -> Tensor:
    is_candidate = scores > -torch.inf
    places = is_candidate.nonzero(as_tuple=True)
    ends = torch.tensor([0, *accumulate(lengths)])
    num_before = F.pad(is_candidate.cumsum(dim=-1), (1, 0))
    counts: list[int] = num_before[..., ends].diff(dim=-1).flatten().tolist()
    keep = torch.zeros_like(is_candidate, memory_format=torch.contiguous_format)
    keep[places] = _keep_of_lists(boxes[places], scores[places], counts, max_iou)
    return keep


def _keep_on_cuda(boxes: Tensor, scores: Tensor, *, lengths: Sequence[int], max_iou: float) -> Tensor:
    if boxes.dtype != torch.float32 or not triton_kernels.are_used():
        return _keep_list_by_list(boxes, scores, lengths, max_iou)
    from hrdet_cli.engine.models.boxes.nms_cuda import keep_without_waiting  # Triton comes with CUDA alone

    return keep_without_waiting(boxes, scores, lengths=lengths, max_iou=max_iou)


def _keep_of_no_values(boxes: Tensor, scores: Tensor, *, lengths: Sequence[int], max_iou: float) -> Tensor:  # noqa: ARG001 - the operator's signature
    return torch.empty_like(scores, dtype=torch.bool, memory_format=torch.contiguous_format)


define_operator("keep_after_nms", cpu=_keep_on_cpu, cuda=_keep_on_cuda, fake=_keep_of_no_values)


def _keep_list_by_list(boxes: Tensor, scores: Tensor, lengths: Sequence[int], max_iou: float) -> Tensor:
    """As ``keep_after_nms`` by ``torchvision.ops.nms``, which waits for a GPU as often as there are lists."""
    keep = torch.zeros_like(scores, dtype=torch.bool, memory_format=torch.contiguous_format)
    if keep.numel() == 0:
        return keep
    num_boxes = scores.shape[-1]
    pictures = zip(
        boxes.reshape(-1, num_boxes, 4), scores.reshape(-1, num_boxes), keep.view(-1, num_boxes), strict=True
    )
    for picture in pictures:
        parts = (rows.split(list(lengths)) for rows in picture)
        for own_boxes, own_scores, own_keep in zip(*parts, strict=True):
            own_keep[nms(own_boxes, own_scores, max_iou)] = True
    return keep & (scores > -torch.inf)


def _keep_of_lists(boxes: Tensor, scores: Tensor, counts: Sequence[int], max_iou: float) -> Tensor:
    """``(M,)`` bool, of lists of ``counts`` boxes each, all of them candidates."""
    keep = torch.zeros(len(scores), dtype=torch.bool)
    short: list[tuple[int, int]] = []
    for end, count in zip(accumulate(counts), counts, strict=True):
        start = end - count
        if count > _LONGEST_SHORT_LIST:
            keep[start + nms(boxes[start:end], scores[start:end], max_iou)] = True
        elif count > 0:
            short.append((start, count))
    for first in range(0, len(short), _SHORT_LISTS_AT_ONCE):
        starts, lengths = torch.tensor(short[first : first + _SHORT_LISTS_AT_ONCE]).T
        _keep_of_short_lists(keep, boxes, scores, starts, lengths, max_iou)
    return keep


def _keep_of_short_lists(
    keep: Tensor, boxes: Tensor, scores: Tensor, starts: Tensor, lengths: Tensor, max_iou: float
) -> None:
    """Set ``keep`` where boxes of these lists survive.

    That of the first box is known, and once the first n are, the next one is. So a guess for all that is
    made again from itself until it stays as it is has become the answer.
    """
    columns = torch.arange(int(lengths.max()))
    is_box = columns < lengths[:, None]
    rows = starts[:, None] + columns.minimum(lengths[:, None] - 1)
    order = scores[rows].where(is_box, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    rows = rows.gather(1, order)
    may_suppress = _overlap_more(boxes[rows], max_iou) & (columns[:, None] < columns)
    guess, kept = torch.zeros_like(is_box), is_box
    while not torch.equal(guess, kept):
        guess = kept
        kept = is_box & ~(may_suppress & guess[:, :, None]).any(dim=1)
    keep[rows[kept]] = True


def _overlap_more(boxes: Tensor, max_iou: float) -> Tensor:
    """``(L, R, R)`` bool: overlaps as of ``torchvision.ops.nms``, which compares them in float64."""
    x1, y1, x2, y2 = boxes.unbind(dim=-1)
    areas = (x2 - x1) * (y2 - y1)
    width = torch.minimum(x2[:, :, None], x2[:, None]) - torch.maximum(x1[:, :, None], x1[:, None])
    height = torch.minimum(y2[:, :, None], y2[:, None]) - torch.maximum(y1[:, :, None], y1[:, None])
    common = width.clamp_(min=0).mul_(height.clamp_(min=0))
    return common.div_((areas[:, :, None] + areas[:, None]).sub_(common)).to(torch.float64) > max_iou
