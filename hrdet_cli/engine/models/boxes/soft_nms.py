"""Non-maximum suppression that lowers the scores of boxes instead of dropping them."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import pairwise_iou


@dataclass(frozen=True, kw_only=True, slots=True)
class SoftNms:
    """Soft-NMS (https://arxiv.org/abs/1704.04503), class by class.

    The best box is taken, the others of its class lose score for what they overlap of it, and so on with the
    best of the others. Comparisons are those of mmcv 2.1's ``soft_nms``, but for its very first box, which
    mmcv takes whatever its score.

    Attributes:
        decay: ``"linear"`` multiplies a score by 1 - IoU where the IoU is ``max_iou`` or more, ``"gaussian"``
            by exp(-IoU^2 / sigma) everywhere.
        sigma: Only for ``"gaussian"``.
        min_score: A box whose score falls below this is dropped.
    """

    decay: Literal["linear", "gaussian"]
    sigma: float
    min_score: float

    def select(
        self, boxes: Tensor, scores: Tensor, labels: Tensor, *, max_iou: float, max_boxes: int
    ) -> tuple[Tensor, Tensor]:
        """The boxes of one picture that are left, best first.

        It works on the CPU, wherever the boxes are: each box waits for the one before.

        Args:
            boxes: ``(R, 4)`` float32.
            scores: ``(R,)`` float32.
            labels: ``(R,)`` int64.
            max_iou: As of ``decay``.
            max_boxes: The best of all classes together are returned.

        Returns:
            Indices, int64, and the lowered scores, as many of each as are left; on the boxes' device.
        """
        device, boxes, scores, labels = boxes.device, boxes.cpu(), scores.cpu(), labels.cpu()
        indices, lowered = [labels[:0]], [scores[:0]]
        for label in sorted(set(labels.tolist())):
            rows = (labels == label).nonzero().flatten()
            factors = self._factors(pairwise_iou(boxes[rows], boxes[rows]), max_iou)
            best, best_scores = self._take_best_first(scores[rows], factors, max_boxes)
            indices.append(rows[best])
            lowered.append(best_scores)
        joined = torch.cat(lowered)
        order = joined.argsort(descending=True, stable=True)[:max_boxes]
        return torch.cat(indices)[order].to(device), joined[order].to(device)

    def _factors(self, iou: Tensor, max_iou: float) -> Tensor:
        """What a box that is taken (row) leaves of the others' scores (column)."""
        if self.decay == "gaussian":
            return torch.exp(-iou.square() / self.sigma)
        return torch.where(iou >= max_iou, 1 - iou, 1.0)

    def _take_best_first(self, scores: Tensor, factors: Tensor, max_boxes: int) -> tuple[Tensor, Tensor]:
        """Rows of one class in the order they are taken, at most ``max_boxes``, and their scores then."""
        is_waiting = torch.ones_like(scores, dtype=torch.bool)
        taken: list[int] = []
        while len(taken) < min(len(scores), max_boxes):
            best = int(scores.where(is_waiting, -1.0).argmax())
            if scores[best] < self.min_score:
                break
            taken.append(best)
            is_waiting[best] = False
            scores = torch.where(is_waiting, scores * factors[best], scores)
        index = torch.tensor(taken, dtype=torch.int64)
        return index, scores[index]
