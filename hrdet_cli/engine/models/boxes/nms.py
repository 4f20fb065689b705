"""Non-maximum suppression whose outcome for a picture depends on that picture alone.

``torchvision.ops.batched_nms`` is avoided: for few boxes it shifts each group's boxes by a multiple of the
largest coordinate, which rounds them by an amount that depends on the other boxes, and for many boxes it does
not, so the same two boxes can be judged differently in different company. Here boxes are compared as they are
(one ``torchvision.ops.nms`` per picture and level: on a CPU faster than one call for all levels, which would
compare boxes of different levels in vain), or shifted by a constant in float64, which keeps coordinates exact
to 1e-8 pixels (one call per picture for all classes, of which there may be many).

``torchvision.ops.nms`` waits for the device to learn how many boxes survive. It is the only such wait in a
training step; what leaves this module has a fixed shape again.
"""

import torch
from torch import Tensor
from torchvision.ops import nms

# Beyond any picture's side, so that shifted groups never touch.
_GROUP_SHIFT_PIXELS = 2.0**16


def keep_after_nms(boxes: Tensor, scores: Tensor, *, max_iou: float) -> Tensor:
    """Which boxes of each picture survive.

    Args:
        boxes: ``(N, R, 4)`` float32.
        scores: ``(N, R)`` float32; a box with minus infinity never survives and suppresses no other.
        max_iou: A box that overlaps a better surviving one by more than this does not survive.

    Returns:
        ``(N, R)`` bool.
    """
    keep = torch.zeros_like(scores, dtype=torch.bool)
    for picture_boxes, picture_scores, picture_keep in zip(boxes, scores, keep, strict=True):
        picture_keep[nms(picture_boxes, picture_scores, max_iou)] = True
    return keep & (scores > -torch.inf)


def indices_after_class_nms(boxes: Tensor, scores: Tensor, labels: Tensor, *, max_iou: float) -> Tensor:
    """The boxes of one picture that survive among those of their class, best first.

    Args:
        boxes: ``(R, 4)`` float32, no coordinate beyond 65,535 pixels.
        scores: ``(R,)`` float32.
        labels: ``(R,)`` int64.
        max_iou: A box that overlaps a better surviving one of its class by more than this does not survive.

    Returns:
        Indices, int64, as many as survive.
    """
    shifts = labels.to(torch.float64) * _GROUP_SHIFT_PIXELS
    kept: Tensor = nms(boxes.to(torch.float64) + shifts[:, None], scores.to(torch.float64), max_iou)
    return kept
