"""RetinaNet against torchvision's, both versions of it: same weights, same settings, in float64."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2

from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.necks.fpn import FPN, CoarseConvs
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.engine.structures import Size
from tests.unit.engine.models.torchvision_oracle import (
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
SIZE = Size(64, 96)  # so that cells of the coarsest levels are no strides apart
NUM_CANDIDATES = 150
BUILD = {"v1": retinanet_resnet50_fpn, "v2": retinanet_resnet50_fpn_v2}


def make_ours(version: str) -> Detector:
    backbone = ResNet(depth=50, frozen_stages=0)
    source: Literal["backbone", "neck"] = "neck" if version == "v1" else "backbone"
    neck = FPN(in_channels=backbone.out_channels, coarse_convs=CoarseConvs(source=source, with_relu=True))
    layout = AnchorLayout(is_rounded=True, has_whole_sides=True, step="canvas", area="canvas")
    dense = RetinaHead(
        in_channels=256,
        num_classes=NUM_CLASSES,
        channels=256,
        num_convs=4,
        norm=None if version == "v1" else "group",
        prior_probability=0.01,
        anchor_generator=AnchorGenerator(strides=neck.strides, scale=4, scales_per_octave=3, layout=layout),
        coder=BoxCoder(stds=(1, 1, 1, 1), clamp="enlarging"),
        matcher=Matcher(positive_iou=0.5, negative_iou=0.4, min_positive_iou=0.0, low_quality_target="best"),
        allowed_border=None,
        class_loss=FocalLoss(alpha=0.25, gamma=2.0),
        box_loss=BoxLoss(kind="l1") if version == "v1" else OverlapLoss(kind="giou"),
        averaging="picture",
        num_candidates_per_level=NUM_CANDIDATES,
    )
    selector = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=300)
    return Detector(
        backbone=backbone,
        neck=neck,
        head=OneStageHead(name="retina_head", dense=dense, selector=selector),
        pixel_mean=(123.675, 116.28, 103.53),
        pixel_std=(58.395, 57.12, 57.375),
    ).double()


def make_theirs(version: str) -> Any:
    theirs = BUILD[version](
        **untrained(SIZE),
        num_classes=NUM_CLASSES,
        topk_candidates=NUM_CANDIDATES,
    ).double()
    keep_last_statistics(theirs)
    with torch.no_grad():  # as if a little trained
        for name, parameter in theirs.head.named_parameters():
            if name.endswith("bias") and parameter.shape[0] == 256:
                parameter.normal_(std=0.1)
        theirs.head.classification_head.cls_logits.bias.copy_(torch.linspace(-3, -1, 9 * NUM_CLASSES))
        theirs.head.classification_head.cls_logits.weight.mul_(10 if version == "v1" else 2)
        theirs.head.regression_head.bbox_reg.weight.mul_(3 if version == "v1" else 0.3)
    return theirs


def from_theirs(ours: Detector, tensors: dict[str, Tensor], version: str) -> dict[str, Tensor]:
    """Their tensors (weights or gradients) under our names."""
    renamed = trunk_from_theirs(ours, tensors)
    outputs = {"class": ("classification", "cls_logits"), "box": ("regression", "bbox_reg")}
    for tower, (branch, output) in outputs.items():
        for end in ("weight", "bias"):
            ours_named = "class_logits" if tower == "class" else "deltas"
            renamed[f"retina_head.{ours_named}.{end}"] = tensors[f"head.{branch}_head.{output}.{end}"]
            for index in range(4):
                conv, theirs = f"retina_head.{tower}_convs.{index}", f"head.{branch}_head.conv.{index}"
                if version == "v2":
                    renamed[f"{conv}.norm.{end}"] = tensors[f"{theirs}.1.{end}"]
                if version == "v1" or end == "weight":
                    renamed[f"{conv}.{end}"] = tensors[f"{theirs}.0.{end}"]
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

    version: str
    ours: Detector
    theirs: Any
    weights: dict[str, Tensor]


@pytest.fixture(scope="module", params=BUILD)
def models(request: pytest.FixtureRequest) -> Models:
    """Of each version, once for all tests: to draw random weights takes as long as a step."""
    version = request.param
    torch.manual_seed(0)
    theirs = make_theirs(version)
    return Models(version, make_ours(version), theirs, deepcopy(theirs.state_dict()))


def make_case(models: Models, num_boxes: list[int]) -> Case:
    ours, theirs = models.ours, models.theirs
    theirs.load_state_dict(models.weights)
    ours.load_state_dict(from_theirs(ours, models.weights, models.version))
    for model in (ours, theirs):
        model.train()
        model.zero_grad()
    torch.manual_seed(0)
    batch = make_batch(
        SIZE,
        # The second overlaps no anchor by half: only that it claims its best ones makes them positive.
        [[6, 4, 42, 36], [80, 4, 86, 60], [10, 24, 48, 60], [40, 20, 92, 58]],
        num_boxes=num_boxes,
        shifts=(0.0, 3.3),
        num_classes=NUM_CLASSES,
        keys=torch.tensor([1, 2]),
        dtype=torch.float64,
    )
    return Case(ours, theirs, batch, their_images=[*ours.normalise(batch.images)])


@pytest.mark.slow
@pytest.mark.parametrize("num_boxes", [[4, 2], [0, 3]])
def test_losses_and_gradients_equal_torchvisions(models: Models, num_boxes: list[int]) -> None:
    case = make_case(models, num_boxes)
    losses = case.ours(case.batch.images, case.batch.targets)
    their_losses = case.theirs(case.their_images, case.batch.their_targets)
    names = {"retina_class": "classification", "retina_box": "bbox_regression"}
    assert_losses_equal(losses, their_losses, names=names, above=0.01, rtol=1e-6)
    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    gradients = gradients_of(case.ours)
    assert gradients.keys() == dict(case.ours.named_parameters()).keys()
    wanted = from_theirs(case.ours, gradients_of(case.theirs), models.version)
    assert_gradients_equal(gradients, wanted, tolerance=1e-6)


@pytest.mark.parametrize(("stretch", "has_empty_boxes"), [(1, False), (10, True)])
def test_detections_equal_torchvisions(models: Models, stretch: float, has_empty_boxes: bool) -> None:
    """Random deltas that are large throw boxes out of the picture, where they are clipped to nothing.

    torchvision keeps those, as detections that can match no object. They suppress nothing and are suppressed
    by nothing, so what remains without them must be ours, box by box.
    """
    case = make_case(models, [4, 2])
    case.theirs.detections_per_img = 10_000  # so that the empty ones crowd out no others
    with torch.no_grad():
        case.theirs.head.regression_head.bbox_reg.weight.mul_(stretch)
        case.theirs(case.their_images, case.batch.their_targets)  # for the statistics of its norms
        case.ours.load_state_dict(from_theirs(case.ours, case.theirs.state_dict(), models.version))
        case.ours.eval()
        case.theirs.eval()
        their_detections = case.theirs(case.their_images)
    assert [bool(has_area(found["boxes"]).all()) for found in their_detections] == [not has_empty_boxes] * 2
    detections = case.ours.detect(case.batch.images)
    assert_detections_equal(detections, their_detections, more_than=40, rtol=1e-6, atol=(1e-6, 0))
