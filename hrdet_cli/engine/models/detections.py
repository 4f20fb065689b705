"""Turns a score for every region and class into the detections of a picture."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes import clip_boxes, have_area
from hrdet_cli.engine.models.nms import indices_after_class_nms
from hrdet_cli.engine.structures import Detections


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectionSelector:
    """Selects by score and non-maximum suppression, class by class.

    Attributes:
        score_threshold: A detection's score is above this.
        nms_iou: A box that overlaps a better one of its class by more than this is dropped.
        max_detections: D, at most this many of a picture are kept, of all classes together.
    """

    score_threshold: float
    nms_iou: float
    max_detections: int

    def select(self, boxes: Tensor, scores: Tensor, sizes: Tensor) -> Detections:
        """Select each picture's detections, whatever else is in the batch.

        Evaluation has no need for static shapes: only candidates above the threshold are compared.

        Args:
            boxes: ``(N, R, K, 4)`` float32, a box for every region and class.
            scores: ``(N, R, K)`` float32.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            Detections with D rows per picture, clipped to the pictures.
        """
        num_pictures = len(boxes)
        boxes = clip_boxes(boxes, sizes)
        is_candidate = (scores > self.score_threshold) & have_area(boxes)
        found = Detections(
            boxes=boxes.new_zeros(num_pictures, self.max_detections, 4),
            scores=scores.new_zeros(num_pictures, self.max_detections),
            labels=torch.zeros(num_pictures, self.max_detections, dtype=torch.int64, device=boxes.device),
            is_valid=torch.zeros(num_pictures, self.max_detections, dtype=torch.bool, device=boxes.device),
        )
        for picture in range(num_pictures):
            region, label = is_candidate[picture].nonzero(as_tuple=True)
            candidate_boxes = boxes[picture, region, label]
            candidate_scores = scores[picture, region, label]
            best = indices_after_class_nms(candidate_boxes, candidate_scores, label, max_iou=self.nms_iou)
            best = best[: self.max_detections]
            found.boxes[picture, : len(best)] = candidate_boxes[best]
            found.scores[picture, : len(best)] = candidate_scores[best]
            found.labels[picture, : len(best)] = label[best]
            found.is_valid[picture, : len(best)] = True
        return found
