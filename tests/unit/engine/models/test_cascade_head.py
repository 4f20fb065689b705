"""The cascade against a rewrite in a few lines, picture by picture, in float64."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_iou, clip_boxes_to_image, roi_align

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.cascade import CascadeStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.structures import ImageBatch, Targets

NUM_CLASSES, STRIDE, CHANNELS, NUM_PROPOSALS = 3, 4, 6, 40
IOUS, WEIGHTS = (0.5, 0.6, 0.7), (1.0, 0.5, 0.25)
STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
SIZES = [(64, 64), (48, 60)]
IMAGES = ImageBatch(
    pixels=torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
    sizes=torch.tensor(SIZES),
    keys=torch.tensor([5, 6]),
)
TARGETS = Targets(
    boxes=torch.tensor([[[4.0, 4, 24, 28], [30, 20, 62, 60]], [[6, 5, 40, 42], [0, 0, 0, 0]]]).double(),
    labels=torch.tensor([[2, 0], [1, 0]]),
    is_valid=torch.tensor([[True, True], [True, False]]),
)


def make_rpn() -> RegionProposalNetwork:
    proposes = ProposalSelector(num_candidates_per_level=200, nms_iou=0.7, max_proposals=NUM_PROPOSALS)
    return RegionProposalNetwork(
        in_channels=CHANNELS,
        anchor_generator=AnchorGenerator(strides=(STRIDE,), scale=6),
        coder=BoxCoder(stds=(1.0, 1.0, 1.0, 1.0)),
        matcher=Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3),
        sampler=Sampler(num_samples=64, positive_fraction=0.5, stream=0),
        box_loss=BoxLoss(kind="l1"),
        allowed_border=None,
        training_selector=proposes,
        test_selector=proposes,
    )


def make_head(*, num_samples: int = 200, positive_fraction: float = 0.5) -> CascadeHead:
    """Of stages that move boxes and are sure of some; by default more samples than there are regions."""
    torch.manual_seed(2)
    stages = []
    for index, (iou, weight, stds) in enumerate(zip(IOUS, WEIGHTS, STDS, strict=True)):
        box_stage = BoxStage(
            in_channels=CHANNELS,
            num_classes=NUM_CLASSES,
            pooling=RegionPooling(strides=(STRIDE,), cells=3, sampling_ratio=2, aligned=True),
            hidden_features=16,
            class_agnostic_boxes=True,
            coder=BoxCoder(stds=stds),
            box_loss=BoxLoss(kind="smooth_l1", beta=1.0),
        ).double()
        with torch.no_grad():
            box_stage.classifier.weight.mul_(60)
            box_stage.regressor.weight.mul_(2000)
        stages.append(
            CascadeStage(
                box_stage=box_stage,
                region_draw=RegionDraw(
                    num_classes=NUM_CLASSES,
                    matcher=Matcher(positive_iou=iou, negative_iou=iou, min_positive_iou=None),
                    sampler=Sampler(
                        num_samples=num_samples, positive_fraction=positive_fraction, stream=1 + index
                    ),
                ),
                loss_weight=weight,
                clipping=BoxClipping(),
            )
        )
    selector = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=100)
    return CascadeHead(rpn=make_rpn().double(), stages=tuple(stages), selector=selector)


def make_pyramid() -> Pyramid:
    level = torch.randn(2, CHANNELS, 16, 16, generator=torch.Generator().manual_seed(4)).double()
    return Pyramid((level.requires_grad_(),), strides=(STRIDE,))


def proposed(head: CascadeHead, pyramid: Pyramid) -> list[Tensor]:
    """What the network proposes for each picture, which is not what is tested here."""
    proposals = head.rpn.propose(head.rpn(pyramid), IMAGES.sizes)
    assert proposals.is_valid.all()
    return [*proposals.boxes]


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
    regions, losses = proposed(head, pyramid), []
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


def test_scores_are_of_the_mean_logits_and_boxes_of_the_last_stage() -> None:
    head, pyramid = make_head(), make_pyramid()
    candidates = head.candidates(pyramid, IMAGES.sizes)
    boxes, _ = BoxClipping().clip(candidates.boxes, IMAGES.sizes)
    for picture, (regions, size) in enumerate(zip(proposed(head, pyramid), SIZES, strict=True)):
        all_logits = []
        for stage, stds in zip(head.stages, STDS, strict=True):
            logits, deltas = looked_at(stage.box_stage, pyramid.levels[0][picture], regions)
            all_logits.append(logits)
            regions = moved(regions, deltas, stds, size)
        scores = torch.stack(all_logits).mean(dim=0).softmax(dim=-1)[:, :-1]
        torch.testing.assert_close(candidates.scores[picture], scores)
        torch.testing.assert_close(boxes[picture], regions[:, None].expand(-1, NUM_CLASSES, -1))
        assert scores.max() > 0.5
        first = torch.stack(all_logits).softmax(dim=-1).mean(dim=0)[:, :-1]
        assert (first - scores).abs().max() > 0.01  # which is not the mean of the scores


@pytest.mark.parametrize("is_hard", [False, True])
def test_more_padding_draws_the_same_regions_in_every_stage(is_hard: bool) -> None:
    head, pyramid = make_head(num_samples=24, positive_fraction=0.25), make_pyramid()
    if is_hard:
        hard = HardSampler(num_samples=24, positive_fraction=0.25)
        draws = [replace(stage.region_draw, sampler=hard) for stage in head.stages]
        pairs = zip(head.stages, draws, strict=True)
        head = replace(head, stages=tuple(replace(stage, region_draw=draw) for stage, draw in pairs))
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
