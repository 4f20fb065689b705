"""The cascade against a rewrite in a few lines, picture by picture, in float64."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou, clip_boxes_to_image, roi_align

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.structures import Targets
from tests.cascades import (
    IMAGES,
    IOUS,
    NUM_CLASSES,
    SIZES,
    STDS,
    STRIDE,
    TARGETS,
    WEIGHTS,
    SamplerOfStream,
    draw_some,
    make_head,
    make_masks,
    make_pyramid,
    take_hardest,
)


def regions_near_targets() -> Tensor:
    """``(2, R, 4)`` regions, half of them around each picture's boxes of the ground truth."""
    generator = torch.Generator().manual_seed(8)
    near = TARGETS.boxes[:, [0, 1, 0, 0, 1, 0, 1, 1, 0, 1]].clone()
    near[1, [1, 4, 6, 7, 9]] = TARGETS.boxes[1, 0]
    near = near + torch.rand(near.shape, generator=generator) * 5 - 2.5
    corners = torch.rand(2, 10, 2, generator=generator) * 30
    anywhere = torch.cat((corners, corners + 4 + torch.rand(2, 10, 2, generator=generator) * 14), dim=-1)
    regions: Tensor = clip_boxes_to_image(torch.cat((near, anywhere.double()), dim=1), (48, 60))
    return regions


@pytest.fixture(autouse=True)
def _proposals_are_near_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that has learnt nothing proposes next to nothing that overlaps a box."""
    proposals = Proposals(regions_near_targets(), torch.ones(2, 20, dtype=torch.bool))
    monkeypatch.setattr(RegionProposalNetwork, "propose", lambda *_: proposals)


def looked_at(stage: BoxStage, level: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    pooled = roi_align(level[None], [boxes], 3, 1 / STRIDE, 2, aligned=True).flatten(1)
    weights = dict(stage.named_parameters())

    def linear(name: str, values: Tensor) -> Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    hidden = linear("fc2", linear("fc1", pooled).relu()).relu()
    return linear("classifier", hidden), linear("regressor", hidden)


def moved(boxes: Tensor, deltas: Tensor, stds: Sequence[float], size: tuple[int, int]) -> Tensor:
    x, y, width, height = (deltas * torch.tensor(stds, dtype=torch.float64)).unbind(-1)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + torch.stack((x, y), -1) * sides
    half = sides * torch.stack((width, height), -1).exp() / 2
    found: Tensor = clip_boxes_to_image(torch.cat((centres - half, centres + half), -1), size)
    return found


def wanted_deltas(boxes: Tensor, targets: Tensor, stds: Sequence[float]) -> Tensor:
    sides, target_sides = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    shift = ((targets[:, :2] + targets[:, 2:]) - (boxes[:, :2] + boxes[:, 2:])) / 2 / sides
    return torch.cat((shift, (target_sides / sides).log()), -1) / torch.tensor(stds, dtype=torch.float64)


def wanted_losses(head: CascadeHead, pyramid: Pyramid) -> list[tuple[Tensor, Tensor]]:
    """Weighted losses of each stage on classes and boxes, if all regions are drawn."""
    regions, losses = [*regions_near_targets()], []
    for index, stage in enumerate(head.stages):
        class_sum = box_sum = torch.zeros(())
        num_regions, next_regions = 0, []
        for picture, size in enumerate(SIZES):
            targets = TARGETS.boxes[picture, TARGETS.is_valid[picture]]
            boxes = torch.cat((targets, regions[picture]))
            iou, best = box_iou(boxes, targets).max(dim=1)
            is_positive = iou >= IOUS[index]
            logits, deltas = looked_at(stage.box_stage, pyramid.levels[0][picture], boxes)
            labels = TARGETS.labels[picture][best].where(is_positive, NUM_CLASSES)
            class_sum = class_sum + F.cross_entropy(logits, labels, reduction="sum")
            wanted = wanted_deltas(boxes, targets[best], STDS[index])[is_positive]
            box_sum = box_sum + F.smooth_l1_loss(deltas[is_positive], wanted, reduction="sum")
            num_regions += len(boxes)
            next_regions.append(moved(boxes, deltas, STDS[index], size)[len(targets) :].detach())
        losses.append((class_sum / num_regions * WEIGHTS[index], box_sum / num_regions * WEIGHTS[index]))
        regions = next_regions
    return losses


def test_each_stage_learns_from_what_the_one_before_made_of_the_regions() -> None:
    head, pyramid = make_head(), make_pyramid()
    losses = head.losses(pyramid, IMAGES, TARGETS)
    wanted = wanted_losses(head, pyramid)
    assert list(losses) == [
        "rpn_objectness",
        "rpn_box",
        *(f"roi_{part}_{number}" for number in (1, 2, 3) for part in ("class", "box")),
    ]
    for number, (class_loss, box_loss) in enumerate(wanted, start=1):
        torch.testing.assert_close(losses[f"roi_class_{number}"], class_loss, msg=f"class {number}")
        torch.testing.assert_close(losses[f"roi_box_{number}"], box_loss, msg=f"box {number}")
        assert box_loss > 0.01
    ours = torch.autograd.grad(losses["roi_class_3"] + losses["roi_box_2"], pyramid.levels, retain_graph=True)
    theirs = torch.autograd.grad(wanted[2][0] + wanted[1][1], pyramid.levels)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("interleaved", [False, True])
def test_masks_are_learnt_of_the_regions_of_a_stage_or_of_what_it_refined(interleaved: bool) -> None:
    masks, pyramid = make_masks(flow=False), make_pyramid()
    head = replace(make_head(), masks=masks)
    if interleaved:
        stages = tuple(replace(stage, mask_draw=stage.region_draw) for stage in head.stages)
        head = replace(head, stages=stages)
    losses = head.losses(pyramid, IMAGES, TARGETS)
    regions, num_looked_at = [*regions_near_targets()], []
    for index, stage in enumerate(head.stages):
        looked_at_by_masks, next_regions = [], []
        for picture, size in enumerate(SIZES):
            targets = TARGETS.boxes[picture, TARGETS.is_valid[picture]]
            boxes = torch.cat((targets, regions[picture]))
            _, deltas = looked_at(stage.box_stage, pyramid.levels[0][picture], boxes)
            next_regions.append(moved(boxes, deltas, STDS[index], size)[len(targets) :].detach())
            looked_at_by_masks.append(torch.cat((targets, next_regions[-1])) if interleaved else boxes)
        drawn = positives_of(looked_at_by_masks, positive_iou=IOUS[index])
        num_looked_at.append(int(drawn.is_positive.sum()))
        wanted = masks.loss(pyramid, drawn, TARGETS, stage=index) * WEIGHTS[index]
        torch.testing.assert_close(losses[f"roi_mask_{index + 1}"], wanted)
        regions = next_regions
    assert min(num_looked_at) > 3
    with pytest.raises(ValueError, match="3 stages have 2 mask branches"):
        replace(head, masks=replace(masks, branches=masks.branches[:2]))


def positives_of(regions: Sequence[Tensor], *, positive_iou: float) -> DrawnRegions:
    """Those of each picture that overlap a box enough."""
    num_slots = max(map(len, regions))
    drawn = DrawnRegions(
        boxes=torch.zeros(2, num_slots, 4).double(),
        labels=torch.full((2, num_slots), NUM_CLASSES),
        target_index=torch.zeros(2, num_slots, dtype=torch.int64),
        is_positive=torch.zeros(2, num_slots, dtype=torch.bool),
        is_target=torch.zeros(2, num_slots, dtype=torch.bool),
        is_valid=torch.zeros(2, num_slots, dtype=torch.bool),
    )
    for picture, boxes in enumerate(regions):
        iou, best = box_iou(boxes, TARGETS.boxes[picture, TARGETS.is_valid[picture]]).max(dim=1)
        positive = (iou >= positive_iou).nonzero().flatten()
        slots = picture, slice(len(positive))
        drawn.boxes[slots], drawn.target_index[slots] = boxes[positive], best[positive]
        drawn.labels[slots] = TARGETS.labels[picture, best[positive]]
        drawn.is_positive[slots] = drawn.is_valid[slots] = True
    return drawn


def test_scores_are_of_the_mean_logits_and_boxes_of_the_last_stage() -> None:
    head, pyramid = make_head(), make_pyramid()
    candidates = head.candidates(pyramid, IMAGES.sizes)
    boxes, _ = BoxClipping().clip(candidates.boxes, IMAGES.sizes)
    for picture, (regions, size) in enumerate(zip([*regions_near_targets()], SIZES, strict=True)):
        all_logits = []
        for stage, stds in zip(head.stages, STDS, strict=True):
            logits, deltas = looked_at(stage.box_stage, pyramid.levels[0][picture], regions)
            all_logits.append(logits)
            regions = moved(regions, deltas, stds, size)
        scores = torch.stack(all_logits).mean(dim=0).softmax(dim=-1)[:, :-1]
        torch.testing.assert_close(candidates.scores[picture], scores)
        torch.testing.assert_close(boxes[picture], regions[:, None].expand(-1, NUM_CLASSES, -1))
        assert scores.std() > 0.05
        first = torch.stack(all_logits).softmax(dim=-1).mean(dim=0)[:, :-1]
        assert (first - scores).abs().max() > 0.01  # which is not the mean of the scores


@pytest.mark.parametrize("sampler", [draw_some, take_hardest])
def test_more_padding_draws_the_same_regions_in_every_stage(sampler: SamplerOfStream) -> None:
    head, pyramid = make_head(sampler), make_pyramid()
    padded_targets = Targets(
        boxes=F.pad(TARGETS.boxes, (0, 0, 0, 7)),
        labels=F.pad(TARGETS.labels, (0, 7)),
        is_valid=F.pad(TARGETS.is_valid, (0, 7)),
    )
    losses, padded = (head.losses(pyramid, IMAGES, targets) for targets in (TARGETS, padded_targets))
    for name, loss in losses.items():
        torch.testing.assert_close(loss, padded[name], msg=name)


def test_every_parameter_gets_a_gradient_even_where_there_is_nothing_to_learn() -> None:
    head, pyramid = make_head(), make_pyramid()
    nothing = replace(TARGETS, is_valid=torch.zeros_like(TARGETS.is_valid))
    losses = head.losses(pyramid, IMAGES, nothing)
    torch.autograd.backward(sum(losses.values(), start=torch.zeros(())))
    for name, part in head.parts.items():
        for parameter_name, parameter in part.named_parameters():
            assert parameter.grad is not None, f"{name}.{parameter_name}"
            assert torch.isfinite(parameter.grad).all()
    assert all(losses[f"roi_box_{number}"] == 0 for number in (1, 2, 3))


def test_a_copy_of_a_detector_has_stages_of_its_own_in_its_head() -> None:
    detector = Detector(
        backbone=nn.Identity(),
        neck=nn.Identity(),
        head=make_head(),
        pixel_mean=(0, 0, 0),
        pixel_std=(1, 1, 1),
    )
    copied = copy.deepcopy(detector)
    own = {id(module) for module in detector.modules()}
    assert isinstance(copied.head, CascadeHead)
    for index, stage in enumerate(copied.head.stages):
        assert stage.box_stage is copied.get_submodule(f"roi_head.stages.{index}")
        assert id(stage.box_stage) not in own


def test_tensors_are_named_by_stage() -> None:
    head = make_head()
    names = [
        name for part, module in head.parts.items() for name in (f"{part}.{n}" for n in module.state_dict())
    ]
    layers = ("fc1", "fc2", "classifier", "regressor")
    assert [name for name in names if name.startswith("roi_head.")] == [
        f"roi_head.stages.{index}.{layer}.{kind}"
        for index in range(3)
        for layer in layers
        for kind in ("weight", "bias")
    ]
    assert next(iter(head.class_rows)) == "roi_head.stages.0.classifier"
    assert {f"{layer}.weight" for layer in head.class_rows} <= set(names)
    assert len(head.class_rows) == 6
