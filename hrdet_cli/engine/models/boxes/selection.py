"""Turns candidates, a box and a score for every place and class, into the detections of a picture."""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from hrdet_cli.engine.models.boxes.ranking import best_columns
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.structures import Candidates, Detections


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionSelector:
    """Selects by score and non-maximum suppression, class by class.

    Attributes:
        score_threshold: A detection's score is above this.
        nms_iou: A box that overlaps a better one of its class by more than this is dropped.
        max_detections: D, at most this many of a picture are kept, of all classes together.
        clipping: What pictures leave of boxes, before NMS.
        soft_nms: What is done with those boxes instead of dropping them; None drops.
    """

    score_threshold: float
    nms_iou: float
    max_detections: int
    clipping: BoxClipping = field(default_factory=BoxClipping)
    soft_nms: SoftNms | None = None

    def select(self, candidates: Candidates, sizes: Tensor) -> Detections:
        """Select each picture's detections, whatever else is in the batch.

        Nothing is waited for, but for soft-NMS.

        Args:
            candidates: What a head found.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            Detections with D rows per picture, clipped to the pictures.
        """
        boxes, is_left = self.clipping.clip(candidates.boxes, sizes)
        scores = candidates.scores
        boxes = boxes.expand(*scores.shape, 4)
        scores = scores.where((scores > self.score_threshold) & is_left, -torch.inf)
        left = (self._after_nms if self.soft_nms is None else self._after_soft_nms)(boxes, scores).flatten(1)
        # With as many columns without a score there are always D.
        left = F.pad(left, (0, self.max_detections), value=-torch.inf)
        best_scores, best = best_columns(left, self.max_detections)
        is_valid = best_scores > -torch.inf
        best = best.where(is_valid, 0)
        pictures, num_classes = torch.arange(len(boxes), device=boxes.device)[:, None], scores.shape[2]
        return Detections(
            boxes=boxes[pictures, best // num_classes, best % num_classes].where(is_valid[..., None], 0.0),
            scores=best_scores.where(is_valid, 0.0),
            labels=best % num_classes,
            is_valid=is_valid,
        )

    def _after_nms(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """What is left of scores ``(N, R, K)`` of boxes ``(N, R, K, 4)``: minus infinity where dropped."""
        places = [scores.shape[1]]
        keep = keep_after_nms(
            boxes.transpose(1, 2), scores.transpose(1, 2), lengths=places, max_iou=self.nms_iou
        )
        return scores.where(keep.transpose(1, 2), -torch.inf)

    def _after_soft_nms(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """As ``_after_nms``, with lowered scores; it waits for each picture."""
        soft_nms = cast("SoftNms", self.soft_nms)
        lowered = torch.full_like(scores, -torch.inf)
        for picture, own in enumerate(scores):
            places = (own > -torch.inf).nonzero(as_tuple=True)
            label = places[1]
            best, best_scores = soft_nms.select(
                boxes[picture][places],
                own[places],
                label,
                max_iou=self.nms_iou,
                max_boxes=self.max_detections,
            )
            lowered[picture, places[0][best], label[best]] = best_scores
        return lowered
