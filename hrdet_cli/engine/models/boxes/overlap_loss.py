"""Losses on how much a predicted box and the wanted one overlap, instead of on how it is encoded."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_SMALLEST_IOU = 1e-6
_SMALLEST_AREA_PIXELS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class OverlapLoss:
    """Loss on boxes in pixels.

    Attributes:
        kind: ``"iou"`` is the negative logarithm of intersection over union, which counts as at least 1e-6
            (Yu et al., UnitBox, arXiv:1608.01471, as mmdetection has it). ``"giou"`` is 1 minus the
            generalised one, which tells also how far apart two boxes are (Rezatofighi et al.,
            arXiv:1902.09630).
    """

    kind: Literal["iou", "giou"]

    def __call__(self, boxes: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
        """Weighted loss of each box.

        Args:
            boxes: ``(..., 4)`` float32, predicted.
            wanted: ``(..., 4)`` float32; anything where the weight is 0.
            weights: ``(...)`` float32; a box with 0 has no effect, and a gradient of 0, whatever it is.

        Returns:
            ``(...)``.
        """
        counts = (weights > 0)[..., None]
        boxes, wanted = boxes.where(counts, 0.0), wanted.where(counts, 0.0)
        starts, ends = boxes[..., :2], boxes[..., 2:]
        wanted_starts, wanted_ends = wanted[..., :2], wanted[..., 2:]
        shared = _area(torch.maximum(starts, wanted_starts), torch.minimum(ends, wanted_ends))
        union = _area(starts, ends) + _area(wanted_starts, wanted_ends) - shared
        iou = shared / union.clamp(min=_SMALLEST_AREA_PIXELS)
        if self.kind == "iou":
            return -iou.clamp(min=_SMALLEST_IOU).log() * weights
        hull = _area(torch.minimum(starts, wanted_starts), torch.maximum(ends, wanted_ends))
        return (1 - iou + (hull - union) / hull.clamp(min=_SMALLEST_AREA_PIXELS)) * weights


def _area(starts: Tensor, ends: Tensor) -> Tensor:
    """``(...)``: 0 where a side ends before it starts."""
    width, height = (ends - starts).clamp(min=0).unbind(dim=-1)
    return width * height
