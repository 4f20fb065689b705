"""The whole detector against torchvision's Mask R-CNN: same weights, same draws, same settings.

But for the masks it is their Faster R-CNN.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import roi_heads

from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher, Matches
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.necks.fpn import FPN
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.engine.structures import Size
from tests.unit.engine.models.torchvision_oracle import (
    NUM_ROWS,
    SharedBatch,
    assert_detections_equal,
    assert_gradients_equal,
    assert_losses_equal,
    gradients_of,
    has_area,
    keep_last_statistics,
    make_batch,
    trunk_from_theirs,
    untrained,
)

NUM_CLASSES = 5
SIZE = Size(128, 192)
NUM_PROPOSALS, NUM_DETECTIONS = 300, 30
PIXEL_MEAN, PIXEL_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
KEYS = torch.tensor([123456789, 2**61 + 17])
RPN_SAMPLER = Sampler(num_samples=256, positive_fraction=0.5, stream=0)
ROI_SAMPLER = Sampler(num_samples=128, positive_fraction=0.25, stream=1)
STRIDES = (4, 8, 16, 32, 64)
ANCHOR_NUMBERS: Tensor = AnchorGenerator(strides=STRIDES)(
    [Size(SIZE.height // s, SIZE.width // s) for s in STRIDES]
).numbers
# The ground truth is numbered from beyond any number of proposals.
REGION_NUMBERS = torch.cat((torch.arange(NUM_ROWS) + 2**30, torch.arange(NUM_PROPOSALS)))


def make_ours() -> Detector:
    backbone = ResNet(depth=50, frozen_stages=0)
    neck = FPN(in_channels=backbone.out_channels)
    box_loss = BoxLoss(kind="smooth_l1", beta=1 / 9)
    selector = ProposalSelector(
        num_candidates_per_level=400,
        nms_iou=0.7,
        max_proposals=NUM_PROPOSALS,
        clipping=BoxClipping(min_side_pixels=1e-3),
    )
    rpn = RegionProposalNetwork(
        in_channels=256,
        anchor_generator=AnchorGenerator(
            strides=neck.strides, layout=AnchorLayout(is_rounded=True, step="canvas", area="canvas")
        ),
        coder=BoxCoder(stds=(1, 1, 1, 1), clamp="enlarging"),
        matcher=Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.0, low_quality_target="best"),
        sampler=RPN_SAMPLER,
        box_loss=box_loss,
        allowed_border=None,
        training_selector=selector,
        test_selector=selector,
    )
    roi_head = BoxStage(
        in_channels=256,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4, 8, 16, 32), sampling_ratio=2, aligned=False),
        coder=BoxCoder(stds=(0.1, 0.1, 0.2, 0.2), clamp="enlarging"),
        box_loss=box_loss,
    )
    region_draw = RegionDraw(
        num_classes=NUM_CLASSES,
        matcher=Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None),
        sampler=ROI_SAMPLER,
    )
    detection_selector = DetectionSelector(
        score_threshold=0.05,
        nms_iou=0.5,
        max_detections=NUM_DETECTIONS,
        clipping=BoxClipping(min_side_pixels=1e-2),
    )
    mask_head = MaskBranch(
        in_channels=256,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4, 8, 16, 32), cells=14, sampling_ratio=2, aligned=False),
    )
    detector = Detector(
        backbone=backbone,
        neck=neck,
        head=TwoStageHead(
            rpn=rpn,
            region_draw=region_draw,
            roi_head=roi_head,
            selector=detection_selector,
            mask_head=mask_head,
        ),
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
    )
    detector.is_nchw_to_train_on_cpu = True  # as in_our_layout has it, on every processor
    return detector


@dataclass
class OurAnchorDraws:
    """Stands in for torchvision's sampler of anchors, which come in the same order as ours."""

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        joined = torch.stack(labels)
        matches = Matches(torch.zeros_like(joined, dtype=torch.int64), joined >= 1, joined == 0)
        return as_masks(RPN_SAMPLER, matches, ANCHOR_NUMBERS)


@dataclass
class OurRegionDraws:
    """Likewise for regions: theirs are proposals then ground truth, ours G rows then R rows, both padded."""

    num_boxes: list[int]

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        joined = torch.full((len(labels), NUM_ROWS + NUM_PROPOSALS), -1)
        for row, theirs, num_boxes in zip(joined, labels, self.num_boxes, strict=True):
            num_proposals = len(theirs) - num_boxes
            row[:num_boxes] = theirs[num_proposals:]
            row[NUM_ROWS : NUM_ROWS + num_proposals] = theirs[:num_proposals]
        matches = Matches(torch.zeros_like(joined), joined >= 1, joined == 0)
        positives: list[Tensor] = []
        negatives: list[Tensor] = []
        for masks, sorted_masks in zip(
            (positives, negatives), as_masks(ROI_SAMPLER, matches, REGION_NUMBERS), strict=True
        ):
            for mask, theirs, num_boxes in zip(sorted_masks, labels, self.num_boxes, strict=True):
                num_proposals = len(theirs) - num_boxes
                masks.append(torch.cat((mask[NUM_ROWS : NUM_ROWS + num_proposals], mask[:num_boxes])))
        return positives, negatives


def as_masks(sampler: Sampler, matches: Matches, numbers: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    sample = sampler.draw(matches, KEYS, numbers)
    positives, negatives = torch.zeros((2, *matches.is_positive.shape), dtype=torch.uint8)
    positives.scatter_(1, sample.index, sample.is_positive.to(torch.uint8))
    negatives.scatter_(1, sample.index, (sample.is_valid & ~sample.is_positive).to(torch.uint8))
    return [*positives], [*negatives]


def make_theirs() -> Any:
    theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(
        **untrained(SIZE),
        num_classes=NUM_CLASSES + 1,
        rpn_pre_nms_top_n_train=400,
        rpn_pre_nms_top_n_test=400,
        rpn_post_nms_top_n_train=NUM_PROPOSALS,
        rpn_post_nms_top_n_test=NUM_PROPOSALS,
        box_detections_per_img=NUM_DETECTIONS,
    )
    # Convolutions round as their memory layout is: they get our memory layout, which is another one to train.
    theirs.backbone.register_forward_pre_hook(lambda _, inputs: (in_our_layout(inputs[0]),))
    theirs.rpn.fg_bg_sampler = OurAnchorDraws()
    return theirs


def in_our_layout(pixels: Tensor) -> Tensor:
    trains = torch.is_grad_enabled()
    return pixels.contiguous(memory_format=torch.contiguous_format if trains else torch.channels_last)


def make_lively(theirs: Any) -> None:
    """Make random weights behave a little as if trained: varied proposals, confident classes."""
    keep_last_statistics(theirs)
    with torch.no_grad():
        for level in (*theirs.backbone.fpn.inner_blocks, *theirs.backbone.fpn.layer_blocks):
            level[0].bias.normal_(std=0.1)
        theirs.rpn.head.cls_logits.weight.mul_(5)  # more would saturate their sigmoid into ties
        theirs.rpn.head.cls_logits.bias.copy_(torch.tensor([-0.5, 0.0, 0.5]))
        theirs.rpn.head.bbox_pred.weight.mul_(5)
        theirs.roi_heads.box_predictor.cls_score.weight.mul_(8)
        theirs.roi_heads.box_predictor.bbox_pred.weight.mul_(3)
        theirs.roi_heads.mask_predictor.mask_fcn_logits.bias.normal_()


HEADS = {
    "rpn.conv": "rpn.head.conv.0.0",
    "rpn.objectness": "rpn.head.cls_logits",
    "rpn.deltas": "rpn.head.bbox_pred",
    "roi_head.fc1": "roi_heads.box_head.fc6",
    "roi_head.fc2": "roi_heads.box_head.fc7",
    "mask_head.upsample": "roi_heads.mask_predictor.conv5_mask",
    **{f"mask_head.convs.{i}": f"roi_heads.mask_head.{i}.0" for i in range(4)},
}
"""Our names of layers to theirs, where the tensors are the same; three are not."""


def from_theirs(ours: Detector, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors (weights or gradients) under our names, with the background moved from first to last."""
    renamed = trunk_from_theirs(ours, tensors)
    for end in ("weight", "bias"):
        renamed |= {f"{name}.{end}": tensors[f"{their_name}.{end}"] for name, their_name in HEADS.items()}
        classifier = tensors[f"roi_heads.box_predictor.cls_score.{end}"]
        renamed[f"roi_head.classifier.{end}"] = torch.cat((classifier[1:], classifier[:1]))
        renamed[f"roi_head.regressor.{end}"] = tensors[f"roi_heads.box_predictor.bbox_pred.{end}"][4:]
        renamed[f"mask_head.logits.{end}"] = tensors[f"roi_heads.mask_predictor.mask_fcn_logits.{end}"][1:]
    return renamed


@dataclass
class Case:
    ours: Detector
    theirs: Any
    batch: SharedBatch
    their_images: list[Tensor]


@dataclass
class Models:
    """Ours and theirs, and the weights with which theirs begins in each test."""

    ours: Detector
    theirs: Any
    weights: dict[str, Tensor]


@pytest.fixture(scope="module")
def models() -> Models:
    """Once for all tests: to draw random weights takes as long as a step."""
    torch.manual_seed(2)
    theirs = make_theirs()
    make_lively(theirs)
    return Models(make_ours(), theirs, deepcopy(theirs.state_dict()))


def make_case(models: Models, num_boxes: list[int]) -> Case:
    ours, theirs = models.ours, models.theirs
    theirs.roi_heads.fg_bg_sampler = OurRegionDraws(num_boxes)
    theirs.load_state_dict(models.weights)
    ours.load_state_dict(from_theirs(ours, models.weights))
    for model in (ours, theirs):
        model.train()
        model.zero_grad()
    torch.manual_seed(2)
    batch = make_batch(
        SIZE,
        # The second is an anchor. The last lies in it, so that this anchor is also among the last one's best.
        [[8, 6, 50, 40], [64, 32, 128, 96], [20, 70, 60, 120], [72, 38, 122, 88]],
        num_boxes=num_boxes,
        shifts=(0.0, 3.3),
        num_classes=NUM_CLASSES,
        keys=KEYS,
        dtype=torch.float32,
        first_label=1,
        masks=torch.randint(2, (2, NUM_ROWS, 112, 112), dtype=torch.uint8),
    )
    return Case(ours, theirs, batch, their_images=[*ours.normalise(batch.images)])


@dataclass
class OurMaskTargets:
    """Stands in for torchvision's, not cut off at one half; asked for one picture after another."""

    targets: list[dict[str, Tensor]]

    def __call__(self, masks: Tensor, regions: Tensor, index: Tensor, num_cells: int) -> Tensor:
        boxes = self.targets.pop(0)["boxes"]
        return mask_targets(regions, boxes[index], masks[index], num_cells=num_cells).float()


@pytest.mark.slow
@pytest.mark.parametrize("num_boxes", [[4, 2], [0, 3]])
def test_losses_and_gradients_equal_torchvisions(
    models: Models, num_boxes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(models, num_boxes)
    batch = case.batch
    monkeypatch.setattr(roi_heads, "project_masks_on_boxes", OurMaskTargets([*batch.their_targets]))
    losses = case.ours(batch.images, batch.targets)
    their_losses = case.theirs(case.their_images, batch.their_targets)
    names = {
        "rpn_objectness": "loss_objectness",
        "rpn_box": "loss_rpn_box_reg",
        "roi_class": "loss_classifier",
        "roi_box": "loss_box_reg",
        "roi_mask": "loss_mask",
    }
    assert_losses_equal(losses, their_losses, names=names, above=0.01, rtol=1e-4)
    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    gradients = gradients_of(case.ours)
    assert gradients.keys() == dict(case.ours.named_parameters()).keys()
    assert_gradients_equal(gradients, from_theirs(case.ours, gradients_of(case.theirs)), tolerance=1e-3)


@pytest.mark.slow
def test_detections_equal_torchvisions(models: Models) -> None:
    case = make_case(models, [4, 2])
    with torch.no_grad():
        case.theirs(case.their_images, case.batch.their_targets)  # for the statistics of its norms
        case.ours.load_state_dict(from_theirs(case.ours, case.theirs.state_dict()))
        case.ours.eval()
        case.theirs.eval()
        unpasted_masks: list[Tensor] = []  # of the regions; afterwards they are laid out in the pictures
        with case.theirs.roi_heads.register_forward_hook(
            lambda _module, _inputs, output: unpasted_masks.extend(found["masks"] for found in output[0])
        ):
            their_detections = case.theirs(case.their_images)
    detections = case.ours.detect(case.batch.images)
    assert_detections_equal(
        detections, their_detections, more_than=20, rtol=1e-4, atol=(1e-2, 1e-5), first_label=1
    )
    assert detections.masks is not None
    for picture, theirs in enumerate(their_detections):
        assert has_area(theirs["boxes"]).all()
        masks, their_masks = detections.masks[picture], unpasted_masks[picture].squeeze(1)
        masks = masks[detections.is_valid[picture]]
        assert masks.std() > 0.1
        torch.testing.assert_close(masks, their_masks, rtol=0, atol=1e-4)
