"""Decides which ground-truth box, if any, each candidate box is to learn."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import pairwise_iou
from hrdet_cli.engine.structures import Targets

# 512 ground-truth boxes against the 409,200 anchors of a 1600x1024 canvas would be 0.8 GB for the overlaps
# alone. Every rule below needs one ground-truth box at a time or a running maximum, so a few will do. Their
# numbers fit into a byte, and those of all boxes into four: on a GPU what is kept for each candidate counts.
_GROUND_TRUTH_CHUNK = 8


@dataclass(frozen=True, slots=True)
class Matches:
    """What each candidate is matched to.

    Attributes:
        target_index: ``(N, R)`` int64, row in the targets; means something only where ``is_positive``.
        is_positive: ``(N, R)`` bool, matched to that row.
        is_negative: ``(N, R)`` bool, background. A candidate may be neither.
    """

    target_index: Tensor
    is_positive: Tensor
    is_negative: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Matcher:
    """Matches by overlap, as mmdetection's MaxIoUAssigner or torchvision's Matcher does.

    Attributes:
        positive_iou: A candidate whose best overlap is at least this is positive.
        negative_iou: One whose best overlap is less than this is negative.
        min_positive_iou: If a ground-truth box's own best overlap is at least this (and not zero), it claims
            *every* candidate that reaches exactly that overlap: however low it is, they are positive. None
            leaves this rule out.
        low_quality_target: What such a candidate learns. ``"claiming"`` is the box that claims it, of several
            the last one, whatever else it overlaps (mmdetection); ``"best"`` the box it overlaps most
            (torchvision, where even a box that no candidate overlaps claims all those it does not overlap).
    """

    positive_iou: float
    negative_iou: float
    min_positive_iou: float | None
    low_quality_target: Literal["claiming", "best"] = "claiming"

    def match(self, candidates: Tensor, is_candidate: Tensor, targets: Targets) -> Matches:
        """Match the candidates of each picture with its ground truth.

        Args:
            candidates: ``(N, R, 4)`` float32, or ``(1, R, 4)`` where they are the same in all pictures.
            is_candidate: ``(N, R)`` bool; the others become neither positive nor negative.
            targets: Ground truth of N pictures, at least one row.

        Returns:
            The matches; nothing in them has a gradient.
        """
        best_iou = candidates.new_full(is_candidate.shape, -1.0)
        best_index = torch.zeros_like(best_iou, dtype=torch.int32)
        claimed_by = torch.full_like(best_index, -1)
        for start in range(0, targets.boxes.shape[1], _GROUND_TRUTH_CHUNK):
            rows = slice(start, start + _GROUND_TRUTH_CHUNK)
            iou = pairwise_iou(targets.boxes[:, rows], candidates)
            takes_part = targets.is_valid[:, rows, None] & is_candidate[:, None]
            iou = iou.masked_fill_(~takes_part, -1.0)
            chunk_iou, chunk_index = iou.max(dim=1)
            chunk_index = chunk_index.to(torch.int32) + start
            best_index = torch.where(chunk_iou > best_iou, chunk_index, best_index)
            best_iou = torch.maximum(best_iou, chunk_iou)
            if self.min_positive_iou is not None:
                claims = _last_claim(iou, min_iou=self.min_positive_iou)
                claimed_by = torch.where(claims >= 0, claims.to(torch.int32) + start, claimed_by)
        is_claimed = claimed_by >= 0
        if self.low_quality_target == "claiming":
            best_index = torch.where(is_claimed, claimed_by, best_index)
        return Matches(
            target_index=best_index.to(torch.int64),
            is_positive=is_claimed | (is_candidate & (best_iou >= self.positive_iou)),
            is_negative=is_candidate & ~is_claimed & (best_iou < self.negative_iou),
        )


def _last_claim(iou: Tensor, *, min_iou: float) -> Tensor:
    """The last row that claims each candidate for being among the row's best.

    Args:
        iou: ``(N, B, R)``, -1 where a row or a candidate takes no part.
        min_iou: Rows whose best overlap is less claim nothing.

    Returns:
        ``(N, R)`` int8, -1 where no row does.
    """
    row_best = iou.amax(dim=2, keepdim=True)
    row_best = row_best.masked_fill((row_best < min_iou) | (row_best <= 0), torch.inf)
    rows = torch.arange(iou.shape[1], device=iou.device, dtype=torch.int8)[:, None]
    return torch.where(iou == row_best, rows, -1).amax(dim=1)
