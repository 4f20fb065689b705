"""The mask branches of a cascade, one for each of its stages.

Each stage's branch is trained on the regions of that stage, and all of them look at detections, which are the
last stage's.  In Hybrid Task Cascade (https://arxiv.org/abs/1901.07518, section 3.1) a branch sees what the
branches before it make of the same region, besides the region's own features: the mask information flow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.mask_branch import (
    MaskBranch,
    labels_of,
    mask_loss,
    positive_slots,
    with_masks,
)
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.structures import ClassRows, Detections, Targets

MaskAverage = Literal["all", "last"]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskCascade:
    """Mask branches that see the same regions.

    Attributes:
        branches: One for each stage, all with the same pooling.  Either none of them takes features, or all
            but the first one do, from the one before.
        average: Which branches' probabilities are averaged in detection: those of all, or the last one's
            alone, as mmdetection 3 has it for HTC.

    Raises:
        ValueError: Some of the branches take features, and others do not.
    """

    branches: tuple[MaskBranch, ...]
    average: MaskAverage

    def __post_init__(self) -> None:
        first, *later = (branch.conv_res is not None for branch in self.branches)
        if first or len(set(later)) > 1:
            raise ValueError("either no mask branch takes features, or all but the first one do")

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by stage and name."""
        return {
            f"{index}.{layer}": rows
            for index, branch in enumerate(self.branches)
            for layer, rows in branch.class_rows.items()
        }

    def loss(self, pyramid: Pyramid, drawn: DrawnRegions, targets: Targets, *, stage: int) -> Tensor:
        """That of one branch; those before it learn from it what to hand on.

        Args:
            pyramid: Of N pictures.
            drawn: Regions of the stage; positives are the first of each picture's slots.
            targets: Ground truth.
            stage: Index of the branch.
        """
        drawn = positive_slots(drawn)
        pooled = self.branches[stage].pooling(pyramid, drawn.boxes)
        features = _in_turn(self._leading_to(stage), pooled, drawn.is_positive)[-1]
        logits = self.branches[stage].logits_of(features, labels_of(drawn).flatten())
        return mask_loss(logits.view(*drawn.labels.shape, *logits.shape[1:]), drawn, targets)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        """Give detections their masks.

        Args:
            pyramid: Of N pictures.
            found: In these, padding rows last.
        """

        def masks_of(boxes: Tensor, labels: Tensor) -> Tensor:
            last = len(self.branches) - 1
            branches = self.branches if self.average == "all" else self._leading_to(last)
            pooled = self.branches[last].pooling(pyramid, boxes)
            pairs = list(zip(branches, _in_turn(branches, pooled), strict=True))
            masks = [
                branch.logits_of(features, labels.flatten()).sigmoid()
                for branch, features in (pairs if self.average == "all" else pairs[-1:])
            ]
            mean = torch.stack(masks).mean(dim=0)
            return mean.view(*labels.shape, *mean.shape[1:])

        return with_masks(found, masks_of)

    def _leading_to(self, stage: int) -> tuple[MaskBranch, ...]:
        """The branch of a stage, behind all that it takes features from."""
        is_alone = self.branches[stage].conv_res is None
        return self.branches[stage if is_alone else 0 : stage + 1]


def _in_turn(branches: Sequence[MaskBranch], pooled: Tensor, is_valid: Tensor | None = None) -> list[Tensor]:
    """What each branch makes of pooled features, and of what the one before it made; see ``MaskBranch``."""
    found: list[Tensor] = []
    for branch in branches:
        found.append(branch.features(pooled, is_valid, found[-1] if found else None))
    return found
