"""RetinaNet against torchvision's, both versions of it: same weights, same settings, in float64."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
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
from hrdet_cli.engine.structures import ImageBatch, Targets

NUM_CLASSES = 5
HEIGHT, WIDTH = 64, 96  # so that cells of the coarsest levels are no strides apart
NUM_ROWS = 8  # of ground truth
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
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES,
        min_size=HEIGHT,
        max_size=WIDTH,
        image_mean=[0.0, 0.0, 0.0],  # they get pixels that are normalised already
        image_std=[1.0, 1.0, 1.0],
        topk_candidates=NUM_CANDIDATES,
    ).double()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # after one training step, evaluation normalises with its statistics
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
    renamed = {
        f"backbone.{name}": tensors.get(f"backbone.body.{name}") for name in ours.backbone.state_dict()
    }
    for name in ours.neck.state_dict():
        renamed[f"neck.{name}"] = tensors[name.replace("pyramid.", "backbone.fpn.")]
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
    return {name: tensor for name, tensor in renamed.items() if tensor is not None}


@dataclass
class Case:
    ours: Detector
    theirs: Any
    images: ImageBatch
    targets: Targets
    their_images: list[Tensor]
    their_targets: list[dict[str, Tensor]]


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
    pixels = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    # The second overlaps no anchor by half: only that it claims its best ones makes them positive.
    boxes = torch.tensor([[6, 4, 42, 36], [80, 4, 86, 60], [10, 24, 48, 60], [40, 20, 92, 58]])
    is_valid = torch.arange(NUM_ROWS) < torch.tensor(num_boxes)[:, None]
    padded = torch.zeros(2, NUM_ROWS, 4)
    padded[:, :4] = boxes + torch.tensor([[[0.0]], [[3.3]]])
    padded *= is_valid[..., None]
    labels = (torch.arange(NUM_ROWS) * 3 % NUM_CLASSES) * is_valid
    images = ImageBatch(pixels, sizes=torch.tensor([[HEIGHT, WIDTH]] * 2), keys=torch.tensor([1, 2]))
    return Case(
        ours=ours,
        theirs=theirs,
        images=images,
        targets=Targets(boxes=padded, labels=labels, is_valid=is_valid),
        their_images=[*ours.normalise(images)],
        their_targets=[
            {"boxes": padded[i][is_valid[i]].double(), "labels": labels[i][is_valid[i]]} for i in range(2)
        ],
    )


@pytest.mark.slow
@pytest.mark.parametrize("num_boxes", [[4, 2], [0, 3]])
def test_losses_and_gradients_equal_torchvisions(models: Models, num_boxes: list[int]) -> None:
    case = make_case(models, num_boxes)
    losses = case.ours(case.images, case.targets)
    their_losses = case.theirs(case.their_images, case.their_targets)
    for name, their_name in (("retina_class", "classification"), ("retina_box", "bbox_regression")):
        assert losses[name] > 0.01, name
        torch.testing.assert_close(losses[name], their_losses[their_name], rtol=1e-6, atol=0, msg=name)

    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    theirs = {name: p.grad for name, p in case.theirs.named_parameters() if p.grad is not None}
    wanted = from_theirs(case.ours, theirs, models.version)
    for name, parameter in case.ours.named_parameters():
        assert parameter.grad is not None
        error = (parameter.grad - wanted[name]).norm() / wanted[name].norm()
        assert error < 1e-6, name


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
        case.theirs(case.their_images, case.their_targets)  # for the statistics of its norms
        case.ours.load_state_dict(from_theirs(case.ours, case.theirs.state_dict(), models.version))
        case.ours.eval()
        case.theirs.eval()
        their_detections = case.theirs(case.their_images)
    detections = case.ours.detect(case.images)
    for picture, theirs in enumerate(their_detections):
        sides = theirs["boxes"][:, 2:] - theirs["boxes"][:, :2]
        kept = (sides > 0).all(dim=1)
        assert kept.all() != has_empty_boxes
        rows = detections.is_valid[picture]
        assert kept.sum() == rows.sum() > 40
        assert len(theirs["labels"][kept].unique()) > 1
        boxes, scores = theirs["boxes"][kept], theirs["scores"][kept]
        torch.testing.assert_close(detections.boxes[picture][rows], boxes, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(detections.scores[picture][rows], scores, rtol=1e-6, atol=0)
        assert torch.equal(detections.labels[picture][rows], theirs["labels"][kept])
