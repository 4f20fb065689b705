"""What a detector found in a picture, or in one view of it."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from hrdet_cli.engine.data.mask_runs import MaskRuns


@dataclass(frozen=True, slots=True, eq=False)
class PictureDetections:
    """What was found in one picture, or in a view of it, best first, in host memory.

    Attributes:
        image_id: The picture's id in the annotation file.
        boxes: ``(D, 4)`` float32 in pixels of the original picture, clipped to it.
        scores: ``(D,)`` float32 in [0, 1], descending.
        labels: ``(D,)`` int64 in ``0 .. K-1``.
        masks: Of D objects, in the original picture; None where boxes alone were looked for.
        is_cut: ``(D,)`` bool, which boxes end at an edge of the view where the picture goes on; None where
            the whole picture was seen.
    """

    image_id: int
    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: MaskRuns | None = None
    is_cut: Tensor | None = None

    @property
    def cut_boxes(self) -> Tensor:
        """``is_cut``, and False for all where the whole picture was seen."""
        return torch.zeros(len(self.scores), dtype=torch.bool) if self.is_cut is None else self.is_cut

    def select(self, is_kept: Tensor) -> Self:
        """Those detections that ``(D,)`` bools say."""
        return self.take(is_kept.nonzero().squeeze(1))

    def take(self, rows: Tensor) -> Self:
        """Those detections that have ``(M,)`` numbers, in their order."""
        return type(self)(
            image_id=self.image_id,
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
            masks=None if self.masks is None else self.masks.take(rows.tolist()),
            is_cut=None if self.is_cut is None else self.is_cut[rows],
        )
