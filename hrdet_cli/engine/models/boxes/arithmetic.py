"""Arithmetic on boxes: encoding one relative to another, overlap.

Everything here wants float32 or better: bfloat16 cannot tell pixel 1000 from 1003.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

_SMALLEST_SIDE_PIXELS = 1e-3
_SMALLEST_UNION_PIXELS = 1e-6


def at_least_float32(values: Tensor) -> Tensor:
    """Predictions in a dtype that boxes can be computed in: float64 stays, lower ones become float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxCoder:
    """Writes a box as deltas (x, y, width, height) relative to a reference box, and back.

    Section 3.1.2 of Faster R-CNN (https://arxiv.org/abs/1506.01497): shifts of the centre in units of the
    reference's sides, logarithms of the ratios of the sides, each less its mean and divided by its standard
    deviation.

    Attributes:
        stds: Divisors of the four deltas.
        means: Subtracted from them before that.
        max_log_ratio: Decoded sides are at most ``exp(max_log_ratio)`` times the reference's, which keeps
            ``exp`` finite. The default is every detector's ``log(1000 / 16)``.
        clamp: With ``"both"`` they are also at least the inverse of that (mmdetection); ``"enlarging"`` lets
            them shrink to nothing (torchvision).
    """

    stds: tuple[float, float, float, float]
    means: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    max_log_ratio: float = math.log(1000 / 16)
    clamp: Literal["both", "enlarging"] = "both"

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """Deltas that turn ``references`` into ``boxes``.

        Args:
            boxes: ``(..., 4)`` float32. A side shorter than 0.001 pixels counts as 0.001 pixels, so that
                padding rows give finite deltas.
            references: ``(..., 4)`` float32, broadcastable, with the same floor.

        Returns:
            ``(..., 4)`` float32.
        """
        x, y, width, height = _centres_and_sides(boxes)
        reference_x, reference_y, reference_width, reference_height = _centres_and_sides(references)
        width, height, reference_width, reference_height = (
            side.clamp(min=_SMALLEST_SIDE_PIXELS)
            for side in (width, height, reference_width, reference_height)
        )
        deltas = (
            (x - reference_x) / reference_width,
            (y - reference_y) / reference_height,
            torch.log(width / reference_width),
            torch.log(height / reference_height),
        )
        scaled = [
            (delta - mean) / std for delta, mean, std in zip(deltas, self.means, self.stds, strict=True)
        ]
        return torch.stack(scaled, dim=-1)

    def decode(self, deltas: Tensor, references: Tensor) -> Tensor:
        """Boxes that ``deltas`` make of ``references``.

        Args:
            deltas: ``(..., 4)`` float32.
            references: ``(..., 4)`` float32, broadcastable.

        Returns:
            ``(..., 4)`` float32, not clipped.
        """
        shift_x, shift_y, log_width, log_height = (
            delta * std + mean
            for delta, mean, std in zip(deltas.unbind(-1), self.means, self.stds, strict=True)
        )
        x, y, width, height = _centres_and_sides(references)
        centre_x, centre_y = x + shift_x * width, y + shift_y * height
        min_log_ratio = -self.max_log_ratio if self.clamp == "both" else None
        half_width = 0.5 * width * log_width.clamp(min_log_ratio, self.max_log_ratio).exp()
        half_height = 0.5 * height * log_height.clamp(min_log_ratio, self.max_log_ratio).exp()
        corners = (
            centre_x - half_width,
            centre_y - half_height,
            centre_x + half_width,
            centre_y + half_height,
        )
        return torch.stack(corners, dim=-1)


def take_rows(values: Tensor, index: Tensor) -> Tensor:
    """Each picture's rows of ``values`` that ``index`` names, such as the ground truth of each match.

    Args:
        values: ``(N, R, ...)``.
        index: ``(N, S)`` int64 in ``0 .. R - 1``.

    Returns:
        ``(N, S, ...)``.
    """
    index = index.view(*index.shape, *[1] * (values.dim() - 2))
    return values.gather(1, index.expand(-1, -1, *values.shape[2:]))


def pairwise_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every pair.

    Args:
        boxes: ``(..., B, 4)`` float32.
        others: ``(..., R, 4)`` float32, leading dimensions broadcastable; make R the longer of the two lists,
            it is the one that runs along memory.

    Returns:
        ``(..., B, R)`` float32 in [0, 1]; 0 where both boxes are empty.
    """
    x1, y1, x2, y2 = boxes[..., None].unbind(-2)
    # One run of memory for each coordinate: faster on a CPU than strides of four.
    other_x1, other_y1, other_x2, other_y2 = (
        side.contiguous() for side in others[..., None, :, :].unbind(-1)
    )
    width = torch.minimum(x2, other_x2).sub_(torch.maximum(x1, other_x1)).clamp_(min=0)
    height = torch.minimum(y2, other_y2).sub_(torch.maximum(y1, other_y1)).clamp_(min=0)
    intersection = width.mul_(height)
    areas = (x2 - x1) * (y2 - y1)
    other_areas = (other_x2 - other_x1) * (other_y2 - other_y1)
    union = (areas + other_areas).sub_(intersection)
    return intersection.div_(union.clamp_(min=_SMALLEST_UNION_PIXELS))


def _centres_and_sides(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre x, centre y, width, height, each ``(...)``."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1
