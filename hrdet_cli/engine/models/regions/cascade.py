"""Stages of a cascade: each looks at what the one before it made of the regions, and is harder to please.

Cascade R-CNN (https://arxiv.org/abs/1712.00726), as mmdetection has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.regions.box_stage import BoxStage, RegionPredictions
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions, RegionDraw


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeStage:
    """What looks at regions, how it is trained, and what it hands on.

    Attributes:
        box_stage: Its layers; its boxes are class-agnostic.
        region_draw: Draws the regions that it is trained on.
        loss_weight: Factor of all its losses.
        clipping: What pictures leave of refined regions; those of which nothing is left stay as they are.
        mask_draw: Draws the regions that its mask branch is trained on, from among those that the stage has
            refined; None trains it on what the box stage is trained on.

    Raises:
        ValueError: The boxes depend on classes.
    """

    box_stage: BoxStage
    region_draw: RegionDraw
    loss_weight: float
    clipping: BoxClipping
    mask_draw: RegionDraw | None = None

    def __post_init__(self) -> None:
        if (num_deltas := self.box_stage.regressor.out_features) != 4:
            raise ValueError(
                f"a stage of a cascade gives a region one box, but its regressor has {num_deltas} outputs; "
                "build it with class_agnostic_boxes"
            )

    @torch.no_grad()
    def refine(self, predictions: RegionPredictions, regions: Proposals, sizes: Tensor) -> Proposals:
        """The regions that the next stage looks at, constants to it.

        Args:
            predictions: Of this stage.
            regions: What they are of.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            As many regions in the same order.
        """
        boxes = self.box_stage.coder.decode(predictions.deltas.squeeze(2), regions.boxes)
        boxes, _ = self.clipping.clip(boxes, sizes)
        return Proposals(
            boxes=boxes.where(regions.is_valid[..., None], 0.0),
            is_valid=regions.is_valid,
        )


def without_targets(drawn: DrawnRegions) -> Proposals:
    """Drawn regions as such; those that were boxes of the ground truth have become padding.

    The ground truth is put in front of each stage's regions anew, as it is.
    """
    return Proposals(boxes=drawn.boxes, is_valid=drawn.is_valid & ~drawn.is_target)


def average_logits(stages: Sequence[RegionPredictions]) -> RegionPredictions:
    """The mean of all stages' class logits, each on its own regions, with the last one's deltas."""
    logits = reduce(torch.add, (predictions.logits for predictions in stages)) / len(stages)
    return RegionPredictions(logits=logits, deltas=stages[-1].deltas)
