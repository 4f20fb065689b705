"""Non-maximum suppression on a GPU, without a wait for how many boxes survive: a Triton kernel.

``torchvision.ops.nms`` computes overlaps on the GPU, and waits for it to learn what they leave. Here a
program for each list goes through its boxes in tiles, best first: what survives of earlier tiles is compared
with the tile, then the tile with itself, again and again until nothing changes.

The kernel runs on a CPU too, by Triton's interpreter (``TRITON_INTERPRET=1``).
"""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

TILE = 64
"""Boxes that are looked at together."""
OPTIONS = MappingProxyType({"num_warps": 4, "enable_fp_fusion": False})
"""How Triton compiles, whose own default depends on its version.

Products and sums fused into one operation round otherwise than a CPU does, and another overlap at the
threshold would be another box kept.
"""


def keep_without_waiting(boxes: Tensor, scores: Tensor, *, lengths: Sequence[int], max_iou: float) -> Tensor:
    """As ``keep_after_nms``.

    Raises:
        TypeError: The boxes are not float32.
    """
    if boxes.dtype != torch.float32:
        raise TypeError(f"NMS on a GPU takes boxes in float32, not {boxes.dtype}")
    if scores.numel() == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    # Each list becomes a row, as long as the longest: what is added to it is no candidate.
    scores, length = scores.where(scores > -torch.inf, -torch.inf), max(lengths)
    lists = torch.split(scores, list(lengths), dim=-1)
    padded = [F.pad(part, (0, length - part.shape[-1]), value=-torch.inf) for part in lists]
    ordered, order = torch.stack(padded, dim=-2).sort(dim=-1, descending=True, stable=True)
    of_boxes = torch.split(boxes, list(lengths), dim=-2)
    padded = [F.pad(part, (0, 0, 0, length - part.shape[-2])) for part in of_boxes]
    in_order = torch.stack(padded, dim=-3).gather(-2, order[..., None].expand(*order.shape, 4))
    keep = torch.zeros_like(order, dtype=torch.int8, memory_format=torch.contiguous_format)
    num_candidates = (ordered > -torch.inf).sum(dim=-1, dtype=torch.int32)
    with torch.cuda.device_of(keep):  # type: ignore[no-untyped-call]
        keep_best_first[(num_candidates.numel(),)](
            in_order.contiguous(),
            num_candidates.contiguous(),
            keep,
            length,
            _next_lower_float32(max_iou),
            TILE=TILE,
            **OPTIONS,
        )
    in_place = torch.zeros_like(keep).scatter_(-1, order, keep).to(torch.bool)
    parts = [row[..., :length] for row, length in zip(in_place.unbind(dim=-2), lengths, strict=True)]
    return torch.cat(parts, dim=-1)


def _next_lower_float32(value: float) -> float:
    """The highest float32 that is not above ``value``: the same float32 values are more than either."""
    nearest = np.float32(value)
    return float(nearest if float(nearest) <= value else np.nextafter(nearest, np.float32(-np.inf)))


@triton.jit(do_not_specialize=["length"])  # type: ignore[untyped-decorator]  # Triton has no types
def keep_best_first(boxes, num_candidates, keep, length, max_iou, TILE: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803 - Triton's
    """Mark the boxes of one list that survive.

    Args:
        boxes: To ``(lists, length, 4)`` float32, best first.
        num_candidates: To ``(lists,)`` int32, how many of each list's boxes count.
        keep: To ``(lists, length)`` int8 of zeros, which is filled in.
        length: Of the lists.
        max_iou: Most that two surviving boxes may overlap.
        TILE: Boxes that are looked at together.
    """
    which = tl.program_id(0).to(tl.int64)
    count = tl.load(num_candidates + which)
    boxes += which * length * 4
    keep += which * length
    lanes = tl.arange(0, TILE)
    for start in range(0, count, TILE):
        rows = start + lanes
        is_box = rows < count
        x1, y1, x2, y2 = _load_boxes(boxes, rows, is_box)
        waiting = is_box
        for first in range(0, start, TILE):
            better = first + lanes
            is_kept = tl.load(keep + better) != 0
            bx1, by1, bx2, by2 = _load_boxes(boxes, better, is_kept)
            overlaps = _overlap_more(bx1, by1, bx2, by2, x1, y1, x2, y2, max_iou)
            waiting = waiting & (tl.max((overlaps & is_kept[:, None]).to(tl.int32), axis=0) == 0)
        own = _overlap_more(x1, y1, x2, y2, x1, y1, x2, y2, max_iou) & (lanes[:, None] < lanes[None, :])
        kept = waiting
        num_changed = tl.sum(is_box.to(tl.int32), axis=0)
        while num_changed > 0:
            now = waiting & (tl.max((own & kept[:, None]).to(tl.int32), axis=0) == 0)
            num_changed = tl.sum((now != kept).to(tl.int32), axis=0)
            kept = now
        tl.store(keep + rows, kept.to(tl.int8), mask=is_box)
        tl.debug_barrier()  # the next tile's threads read what others have written


@triton.jit
def _load_boxes(boxes, rows, mask):  # type: ignore[no-untyped-def]
    """Four sides, each ``(TILE,)``."""
    corner = boxes + rows * 4
    return (
        tl.load(corner, mask=mask, other=0.0),
        tl.load(corner + 1, mask=mask, other=0.0),
        tl.load(corner + 2, mask=mask, other=0.0),
        tl.load(corner + 3, mask=mask, other=0.0),
    )


@triton.jit
def _overlap_more(ax1, ay1, ax2, ay2, x1, y1, x2, y2, max_iou):  # type: ignore[no-untyped-def]
    """``(TILE, TILE)``: do box a (row) and the other (column) overlap by more? In a CPU's arithmetic."""
    width = tl.minimum(ax2[:, None], x2[None, :]) - tl.maximum(ax1[:, None], x1[None, :])
    height = tl.minimum(ay2[:, None], y2[None, :]) - tl.maximum(ay1[:, None], y1[None, :])
    common = tl.maximum(width, 0.0) * tl.maximum(height, 0.0)
    areas = ((ax2 - ax1) * (ay2 - ay1))[:, None] + ((x2 - x1) * (y2 - y1))[None, :]
    return tl.div_rn(common, areas - common) > max_iou
