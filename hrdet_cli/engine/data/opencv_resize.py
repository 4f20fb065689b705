"""OpenCV's bilinear resize of bytes, to the bit, without OpenCV.

What mmdetection 2 and 3 train and test on.  It is not the rounded result of a bilinear resize: weights are
whole 2048ths, and three right shifts lose an eighth of a grey level on average.  The arithmetic is that of
``cv::resize`` with ``INTER_LINEAR`` on bytes (OpenCV 4 and 5, modules/imgproc/src/resize.cpp: HResizeLinear
and VResizeLinear).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.geometry import Size

_ONE = 2048


def resize_like_opencv(pixels: Tensor, size: Size) -> Tensor:
    """Resize a picture.

    Args:
        pixels: ``(3, H, W)`` uint8; fastest where it is a view of rows of RGB triples.
        size: The result's.

    Returns:
        ``(3, h, w)`` uint8, a view of rows of triples.
    """
    rows_of_triples = pixels.permute(1, 2, 0)
    columns = _Neighbours.along(pixels.shape[2], size.width)
    rows = _Neighbours.along(pixels.shape[1], size.height)
    last_column, last_row = pixels.shape[2] - 1, pixels.shape[1] - 1
    # Beyond the edge, columns give all weight to the last one, rows share it between two that are the same.
    weights = columns.second_weight.where((columns.first >= 0) & (columns.first < last_column), 0)[:, None]
    left = rows_of_triples.index_select(1, columns.first.clamp(0, last_column)).int()
    right = rows_of_triples.index_select(1, (columns.first + 1).clamp(0, last_column)).int()
    wide = left.mul_(_ONE - weights).add_(right.mul_(weights)).bitwise_right_shift_(4)
    upper = wide.index_select(0, rows.first.clamp(0, last_row))
    lower = wide.index_select(0, (rows.first + 1).clamp(0, last_row))
    upper.mul_((_ONE - rows.second_weight)[:, None, None]).bitwise_right_shift_(16)
    lower.mul_(rows.second_weight[:, None, None]).bitwise_right_shift_(16)
    return upper.add_(lower).add_(2).bitwise_right_shift_(2).to(torch.uint8).permute(2, 0, 1)


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """What lies on either side of each new pixel's centre, along one axis.

    Attributes:
        first: ``(n,)`` int64, the old pixel before it, -1 before the first.
        second_weight: ``(n,)`` int32, weight of the old pixel after it, in 2048ths.
    """

    first: Tensor
    second_weight: Tensor

    @classmethod
    def along(cls, old: int, new: int) -> "_Neighbours":
        scale = 1 / (new / old)  # as OpenCV comes by it, roundings included
        position = ((torch.arange(new, dtype=torch.float64) + 0.5) * scale - 0.5).float()
        first = position.floor()
        return cls(first.long(), ((position - first) * _ONE).round().int())
