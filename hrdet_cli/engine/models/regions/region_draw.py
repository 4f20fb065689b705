"""Draws the regions that region heads are trained on: the ground truth and proposals, matched and sampled."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import take_rows
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.structures import ImageBatch, Targets

_FIRST_TARGET_NUMBER = 2**30
"""Beyond any number of proposals."""


@dataclass(frozen=True, slots=True)
class DrawnRegions:
    """S regions per picture, positives first, and what each is to learn.

    Attributes:
        boxes: ``(N, S, 4)`` float32 in canvas pixels.
        labels: ``(N, S)`` int64 in ``0 .. K``, the background (K) where not ``is_positive``.
        target_index: ``(N, S)`` int64, row in the targets; means something only where ``is_positive``.
        is_positive: ``(N, S)`` bool.
        is_target: ``(N, S)`` bool, the region is itself a box of the ground truth.
        is_valid: ``(N, S)`` bool; False where a picture had too few regions to fill its slots.
    """

    boxes: Tensor
    labels: Tensor
    target_index: Tensor
    is_positive: Tensor
    is_target: Tensor
    is_valid: Tensor

    def first(self, count: int) -> "DrawnRegions":
        """The first slots alone; of as many as may be positive, all positives and as few others as can be."""
        return DrawnRegions(
            boxes=self.boxes[:, :count],
            labels=self.labels[:, :count],
            target_index=self.target_index[:, :count],
            is_positive=self.is_positive[:, :count],
            is_target=self.is_target[:, :count],
            is_valid=self.is_valid[:, :count],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionDraw:
    """Matches regions with the ground truth and draws some of them.

    Attributes:
        num_classes: K, without the background.
        matcher: Regions to ground truth.
        sampler: Draws among them.
    """

    num_classes: int
    matcher: Matcher
    sampler: Sampler

    def draw(self, regions: Proposals, images: ImageBatch, targets: Targets) -> DrawnRegions:
        """Draw regions to train on.

        The ground truth itself is put in front of the regions, so that there is something to find early on.

        Args:
            regions: R of them in each of N pictures.
            images: The pictures' keys say which regions are drawn.
            targets: Ground truth.
        """
        boxes = torch.cat((targets.boxes, regions.boxes), dim=1)
        is_valid = torch.cat((targets.is_valid, regions.is_valid), dim=1)
        matches = self.matcher.match(boxes, is_valid, targets)
        sample = self.sampler.draw(matches, images.keys, _region_numbers(targets.boxes, regions.boxes))
        target_index = sample.pick(matches.target_index)
        found_labels = take_rows(targets.labels, target_index)
        return DrawnRegions(
            boxes=sample.pick(boxes),
            labels=found_labels.where(sample.is_positive, self.num_classes),
            target_index=target_index,
            is_positive=sample.is_positive,
            is_target=sample.is_valid & (sample.index < targets.boxes.shape[1]),
            is_valid=sample.is_valid,
        )


def _region_numbers(targets: Tensor, regions: Tensor) -> Tensor:
    """``(G + R,)`` int64: numbers that do not depend on how many rows G the batch's targets are padded to."""
    of_targets = torch.arange(targets.shape[1], device=targets.device) + _FIRST_TARGET_NUMBER
    return torch.cat((of_targets, torch.arange(regions.shape[1], device=targets.device)))
