"""Mask branches of a cascade against a rewrite, in float64."""

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align

from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.models.regions.mask_cascade import MaskCascade
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.structures import Detections
from tests.cascades import NUM_CLASSES, STRIDE, TARGETS, make_masks, make_pyramid

POSITIVES = (3, 2)


def make_drawn() -> DrawnRegions:
    """Positives around the boxes, first; the others are not to be looked at."""
    index = torch.tensor([[0, 1, 1, 0, 0], [0, 0, 0, 0, 0]])
    is_positive = torch.arange(5) < torch.tensor(POSITIVES)[:, None]
    boxes = TARGETS.boxes.gather(1, index[..., None].expand(-1, -1, 4))
    shifts = torch.rand(boxes.shape, generator=torch.Generator().manual_seed(6)).double() * 6 - 3
    labels = TARGETS.labels.gather(1, index).where(is_positive, NUM_CLASSES)
    return DrawnRegions(boxes + shifts, labels, index, is_positive, is_positive & False, is_positive | True)


def layers(branch: MaskBranch, values: Tensor, earlier: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the convolutions make of pooled features, and the logits of all classes."""
    weights = branch.state_dict(keep_vars=True)

    def conv(name: str, given: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(given, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    if earlier is not None:
        values = values + conv("conv_res", earlier).relu()
    for index in range(2):
        values = conv(f"convs.{index}", values).relu()
    large = F.conv_transpose2d(values, weights["upsample.weight"], weights["upsample.bias"], stride=2).relu()
    return values, conv("logits", large)


def wanted_logits(masks: MaskCascade, level: Tensor, boxes: Tensor, *, flow: bool) -> list[Tensor]:
    """Of each branch, all classes; of the regions of one picture."""
    pooled = roi_align(level[None], [boxes], 4, 1 / STRIDE, 2, aligned=True)
    features, found = None, []
    for branch in masks.branches:
        features, logits = layers(branch, pooled, features if flow else None)
        found.append(logits)
    return found


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_loss_of_a_stage_trains_its_branch_and_those_that_hand_it_features(
    stage: int, flow: bool
) -> None:
    masks, pyramid, drawn = make_masks(flow=flow), make_pyramid(), make_drawn()
    loss = masks.loss(pyramid, drawn, TARGETS, stage=stage)
    losses = []
    assert TARGETS.masks is not None
    for picture, count in enumerate(POSITIVES):
        boxes, index = drawn.boxes[picture, :count], drawn.target_index[picture, :count]
        logits = wanted_logits(masks, pyramid.levels[0][picture], boxes, flow=flow)[stage]
        own = logits[torch.arange(count), drawn.labels[picture, :count]]
        cells = mask_targets(
            boxes, TARGETS.boxes[picture, index], TARGETS.masks[picture, index], num_cells=own.shape[-1]
        )
        losses.append(F.binary_cross_entropy_with_logits(own, cells.double(), reduction="none"))
    wanted = torch.cat(losses).mean()
    torch.testing.assert_close(loss, wanted)
    first_layers = [branch.convs[0].get_parameter("weight") for branch in masks.branches]
    ours, theirs = (
        torch.autograd.grad(value, first_layers, retain_graph=True, allow_unused=True)
        for value in (loss, wanted)
    )
    is_trained = [index == stage or (flow and index < stage) for index in range(3)]
    assert [gradient is not None for gradient in ours] == is_trained
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("average", ["all", "last"])
def test_a_detection_has_the_mean_of_all_masks_or_the_last_one(
    flow: bool, average: Literal["all", "last"]
) -> None:
    masks, pyramid, drawn = make_masks(flow=flow, average=average), make_pyramid(), make_drawn()
    is_valid = drawn.is_positive
    found = Detections(
        boxes=drawn.boxes * is_valid[..., None],
        scores=is_valid.double(),
        labels=drawn.labels.where(is_valid, 0),
        is_valid=is_valid,
    )
    completed = masks.complete(pyramid, found)
    assert completed.masks is not None
    assert completed.masks.shape == (2, 5, 8, 8)
    assert not completed.masks[~is_valid].any()
    for picture, count in enumerate(POSITIVES):
        boxes, labels = found.boxes[picture, :count], found.labels[picture, :count]
        logits = wanted_logits(masks, pyramid.levels[0][picture], boxes, flow=flow)
        shares = torch.stack(logits)[:, torch.arange(count), labels].sigmoid()
        wanted = shares.mean(dim=0) if average == "all" else shares[-1]
        torch.testing.assert_close(completed.masks[picture, :count], wanted)
        assert (shares[0] - shares[-1]).abs().max() > 0.1


def test_either_no_branch_takes_features_or_all_but_the_first_one() -> None:
    alone, flowing = make_masks(flow=False).branches, make_masks(flow=True).branches
    assert MaskCascade(branches=alone[:1], average="all").class_rows.keys() == {"0.logits"}
    for branches in ((*flowing[:2], alone[2]), (alone[0], alone[1], flowing[2]), flowing[1:]):
        with pytest.raises(ValueError, match="either no mask branch takes features, or all but the first"):
            MaskCascade(branches=branches, average="all")
