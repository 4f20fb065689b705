"""Turns scored anchors into the few hundred regions worth a second look."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, take_rows
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from hrdet_cli.engine.models.boxes.ranking import best_columns
from hrdet_cli.engine.models.dense.anchors import Anchors


@dataclass(frozen=True, slots=True)
class AnchorPredictions:
    """What the region proposal network says about each anchor, levels joined.

    Attributes:
        anchors: The A anchors.
        logits: ``(N, A)`` float32 objectness.
        deltas: ``(N, A, 4)`` float32, encoded relative to the anchors.
    """

    anchors: Anchors
    logits: Tensor
    deltas: Tensor


@dataclass(frozen=True, slots=True)
class Proposals:
    """R regions per picture: best first from the network, or as a stage of a cascade has refined them.

    Attributes:
        boxes: ``(N, R, 4)`` float32 in canvas pixels, inside the pictures; zero in padding rows.
        is_valid: ``(N, R)`` bool; False in padding rows.
    """

    boxes: Tensor
    is_valid: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalSelector:
    """Selects by score and non-maximum suppression, level by level.

    Attributes:
        num_candidates_per_level: The best of each level enter NMS.
        nms_iou: A box that overlaps a better one of its level by more than this is dropped.
        max_proposals: The best of all levels together are kept.
        clipping: What pictures leave of boxes, before NMS.
    """

    num_candidates_per_level: int
    nms_iou: float
    max_proposals: int
    clipping: BoxClipping = field(default_factory=BoxClipping)

    def select(self, predictions: AnchorPredictions, sizes: Tensor, coder: BoxCoder) -> Proposals:
        """What ``select_scored`` selects, without the scores."""
        return self.select_scored(predictions, sizes, coder)[0]

    @torch.no_grad()
    def select_scored(
        self, predictions: AnchorPredictions, sizes: Tensor, coder: BoxCoder
    ) -> tuple[Proposals, Tensor]:
        """Select proposals. They are constants to the region head: no gradient flows back.

        Anchors that may not propose, and boxes of which too little is left inside the picture, are out.

        Args:
            predictions: For A anchors.
            sizes: ``(N, 2)`` int64, height and width of each picture.
            coder: Decodes the predicted deltas.

        Returns:
            R = ``max_proposals`` rows, or fewer if there are not that many candidates on this canvas; and
            their objectness, ``(N, R)`` in [0, 1], descending; 0 in padding rows.
        """
        anchors = predictions.anchors
        logits = predictions.logits.where(anchors.may_propose_in(sizes), -torch.inf)
        level_boxes, level_scores, level_lengths = [], [], []
        for scores, deltas, references in zip(
            torch.split(logits, anchors.level_lengths, dim=1),
            torch.split(predictions.deltas, anchors.level_lengths, dim=1),
            torch.split(anchors.boxes, anchors.level_lengths),
            strict=True,
        ):
            num_candidates = torch.sym_min(self.num_candidates_per_level, scores.shape[1])
            top_scores, top = best_columns(scores, num_candidates)
            boxes, is_left = self.clipping.clip(coder.decode(take_rows(deltas, top), references[top]), sizes)
            level_boxes.append(boxes)
            level_scores.append(top_scores.where(is_left, -torch.inf))
            level_lengths.append(num_candidates)
        all_boxes, all_scores = torch.cat(level_boxes, dim=1), torch.cat(level_scores, dim=1)
        keep = keep_after_nms(all_boxes, all_scores, lengths=level_lengths, max_iou=self.nms_iou)
        all_scores = all_scores.where(keep, -torch.inf)
        best_scores, best = best_columns(all_scores, torch.sym_min(self.max_proposals, all_scores.shape[1]))
        is_valid = best_scores > -torch.inf
        boxes = take_rows(all_boxes, best).where(is_valid[..., None], 0.0)
        return Proposals(boxes=boxes, is_valid=is_valid), best_scores.sigmoid()
