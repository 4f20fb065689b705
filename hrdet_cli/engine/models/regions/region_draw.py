"""Draws the regions that region heads are trained on: the ground truth and proposals, matched and sampled."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import take_rows
from hrdet_cli.engine.models.boxes.matching import Matcher, Matches
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sampler
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.structures import ImageBatch, Targets

ClassLosses = Callable[[Proposals, Tensor], Tensor]
"""From R regions and the labels ``(N, R)`` they should get to a loss of each, ``(N, R)``."""

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
        sampler: Draws among them, or takes those that are hardest to classify.
    """

    num_classes: int
    matcher: Matcher
    sampler: Sampler | HardSampler

    def draw(
        self, regions: Proposals, images: ImageBatch, targets: Targets, *, class_losses: ClassLosses
    ) -> DrawnRegions:
        """Draw regions to train on.

        The ground truth itself is put in front of the regions, so that there is something to find early on.
        It takes no part in the matching: each of its boxes is matched with itself.

        Args:
            regions: R of them in each of N pictures.
            images: The pictures' keys say which regions are drawn.
            targets: Ground truth.
            class_losses: Of the classifier that is to be trained; asked if the hardest regions are taken.
        """
        boxes = torch.cat((targets.boxes, regions.boxes), dim=1)
        is_valid = torch.cat((targets.is_valid, regions.is_valid), dim=1)
        matches = _with_targets(self.matcher.match(regions.boxes, regions.is_valid, targets), targets)
        labels = take_rows(targets.labels, matches.target_index)
        labels = labels.where(matches.is_positive, self.num_classes)
        numbers = _region_numbers(targets.boxes, regions.boxes)
        if isinstance(self.sampler, HardSampler):
            sample = self.sampler.take(matches, class_losses(Proposals(boxes, is_valid), labels), numbers)
        else:
            sample = self.sampler.draw(matches, images.keys, numbers)
        return DrawnRegions(
            boxes=sample.pick(boxes),
            labels=sample.pick(labels),
            target_index=sample.pick(matches.target_index),
            is_positive=sample.is_positive,
            is_target=sample.is_valid & (sample.index < targets.boxes.shape[1]),
            is_valid=sample.is_valid,
        )


def _with_targets(matches: Matches, targets: Targets) -> Matches:
    """The matches of regions, with those of the ground truth in front of them."""
    own = torch.arange(targets.boxes.shape[1], device=targets.boxes.device)
    nothing = torch.zeros_like(targets.is_valid)
    return Matches(
        target_index=torch.cat((own.expand(len(targets.boxes), -1), matches.target_index), dim=1),
        is_positive=torch.cat((targets.is_valid, matches.is_positive), dim=1),
        is_negative=torch.cat((nothing, matches.is_negative), dim=1),
    )


def _region_numbers(targets: Tensor, regions: Tensor) -> Tensor:
    """``(G + R,)`` int64: numbers that do not depend on how many rows G the batch's targets are padded to."""
    of_targets = torch.arange(targets.shape[1], device=targets.device) + _FIRST_TARGET_NUMBER
    return torch.cat((of_targets, torch.arange(regions.shape[1], device=targets.device)))
