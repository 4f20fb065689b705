"""Turns candidates, a box and a score for every place and class, into the detections of a picture."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from hrdet_cli.engine.models.boxes.ranking import best_columns
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.models.boxes.static_shapes import has_static_shapes
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
        is_candidate = (scores > self.score_threshold) & is_left
        if self.soft_nms is not None:
            return self._best(boxes, self._after_soft_nms(boxes, scores, is_candidate, self.soft_nms))
        if has_static_shapes(scores):
            return self._best(boxes, self.after_nms(boxes, scores.where(is_candidate, -torch.inf)))
        return self._best_of_few(boxes, scores, is_candidate)

    def after_nms(self, boxes: Tensor, scores: Tensor) -> Tensor:
        """What NMS leaves of all scores, with static shapes.

        Args:
            boxes: ``(N, R, K, 4)``.
            scores: ``(N, R, K)``, minus infinity where there is no candidate.

        Returns:
            ``(N, R, K)``: the scores, minus infinity where there is no detection.
        """
        places = [scores.shape[1]]
        keep = keep_after_nms(
            boxes.transpose(1, 2), scores.transpose(1, 2), lengths=places, max_iou=self.nms_iou
        )
        return scores.where(keep.transpose(1, 2), -torch.inf)

    def _after_soft_nms(
        self, boxes: Tensor, scores: Tensor, is_candidate: Tensor, soft_nms: SoftNms
    ) -> Tensor:
        """As ``after_nms``, with lowered scores; it waits for each picture."""
        lowered = torch.full_like(scores, -torch.inf)
        for picture, own in enumerate(is_candidate):
            place, label = own.nonzero(as_tuple=True)
            best, best_scores = soft_nms.select(
                boxes[picture, place, label],
                scores[picture, place, label],
                label,
                max_iou=self.nms_iou,
                max_boxes=self.max_detections,
            )
            lowered[picture, place[best], label[best]] = best_scores
        return lowered

    def _best(self, boxes: Tensor, scores: Tensor) -> Detections:
        """The best of what is left; arguments as what ``after_nms`` is given and returns."""
        # With as many columns without a score there are always D.
        left = F.pad(scores.flatten(1), (0, self.max_detections), value=-torch.inf)
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

    def _best_of_few(self, boxes: Tensor, scores: Tensor, is_candidate: Tensor) -> Detections:
        """The same, to the bit, from the candidates alone, which are few of all pairs of place and class."""
        num_pictures, _, num_classes = scores.shape
        places = is_candidate.nonzero(as_tuple=True)
        lists = places[0] * num_classes + places[2]
        order = lists.argsort(stable=True)
        of_lists: list[int] = lists.bincount(minlength=num_pictures * num_classes).tolist()
        kept = keep_after_nms(
            boxes[places][order], scores[places][order], lengths=of_lists, max_iou=self.nms_iou
        )
        rows = order[kept].sort().values  # place by place again
        rows = rows[scores[places][rows].argsort(descending=True, stable=True)]
        picture, place, label = (index[rows] for index in places)
        shape = num_pictures, self.max_detections
        found = Detections(
            boxes=boxes.new_zeros(*shape, 4),
            scores=scores.new_zeros(shape),
            labels=torch.zeros(shape, dtype=torch.int64),
            is_valid=torch.zeros(shape, dtype=torch.bool),
        )
        for index in range(num_pictures):
            best = (picture == index).nonzero().squeeze(1)[: self.max_detections]
            found.boxes[index, : len(best)] = boxes[index, place[best], label[best]]
            found.scores[index, : len(best)] = scores[index, place[best], label[best]]
            found.labels[index, : len(best)] = label[best]
            found.is_valid[index, : len(best)] = True
        return found
