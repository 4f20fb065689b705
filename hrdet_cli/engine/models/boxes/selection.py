"""Turns candidates, a box and a score for every place and class, into the detections of a picture."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.nms import indices_after_class_nms
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

        Evaluation has no need for static shapes: only candidates above the threshold are compared.

        Args:
            candidates: What a head found.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            Detections with D rows per picture, clipped to the pictures.
        """
        scores, num_pictures = candidates.scores, len(candidates.boxes)
        boxes, is_left = self.clipping.clip(candidates.boxes, sizes)
        boxes = boxes.expand(*scores.shape, 4)
        is_candidate = (scores > self.score_threshold) & is_left
        found = Detections(
            boxes=boxes.new_zeros(num_pictures, self.max_detections, 4),
            scores=scores.new_zeros(num_pictures, self.max_detections),
            labels=torch.zeros(num_pictures, self.max_detections, dtype=torch.int64, device=boxes.device),
            is_valid=torch.zeros(num_pictures, self.max_detections, dtype=torch.bool, device=boxes.device),
        )
        for picture in range(num_pictures):
            region, label = is_candidate[picture].nonzero(as_tuple=True)
            candidate_boxes = boxes[picture, region, label]
            best, best_scores = self._best(candidate_boxes, scores[picture, region, label], label)
            found.boxes[picture, : len(best)] = candidate_boxes[best]
            found.scores[picture, : len(best)] = best_scores
            found.labels[picture, : len(best)] = label[best]
            found.is_valid[picture, : len(best)] = True
        return found

    def _best(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Which candidates of a picture are detections, best first, and their scores as such."""
        if self.soft_nms is not None:
            return self.soft_nms.select(
                boxes, scores, labels, max_iou=self.nms_iou, max_boxes=self.max_detections
            )
        best = indices_after_class_nms(boxes, scores, labels, max_iou=self.nms_iou)[: self.max_detections]
        return best, scores[best]
