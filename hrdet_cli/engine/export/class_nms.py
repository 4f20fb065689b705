"""Non-maximum suppression class by class, as one operator with one counterpart in ONNX.

The detector shifts the boxes of each class out of the others' way, in float64. ONNX's ``NonMaxSuppression``
knows float32 alone, where a shift costs the places behind the point, but takes many lists of boxes at once.
torch has no operator like that, so this module registers one.
"""

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.nms import keep_after_nms


@torch.library.custom_op("hrdet::keep_after_class_nms", mutates_args=())
def keep_after_class_nms(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    """Which boxes survive among those of their class.

    Args:
        boxes: ``(K, R, 4)`` float32.
        scores: ``(K, R)`` float32; a box with 0 never survives and suppresses no other.
        max_iou: A box that overlaps a better surviving one of its class by more than this does not survive.

    Returns:
        ``(K, R)`` bool.
    """
    return keep_after_nms(boxes, scores.where(scores > 0, -torch.inf), max_iou=max_iou)


@keep_after_class_nms.register_fake
def _(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:  # noqa: ARG001 - the operator's signature
    return torch.empty_like(scores, dtype=torch.bool)
