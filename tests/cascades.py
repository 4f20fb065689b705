"""A small cascade in float64 that moves boxes and is sure of some, with two pictures to look at."""

from collections.abc import Callable

import torch

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
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.cascade import CascadeStage
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.models.regions.mask_cascade import MaskAverage, MaskCascade
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
    masks=(torch.rand(2, 2, 16, 16, generator=torch.Generator().manual_seed(9)) < 0.6).to(torch.uint8),
)


def draw_all(stream: int) -> Sampler:
    """More than there are."""
    return Sampler(num_samples=200, positive_fraction=0.5, stream=stream)


def draw_some(stream: int) -> Sampler:
    return Sampler(num_samples=24, positive_fraction=0.25, stream=stream)


def take_hardest(stream: int) -> HardSampler:
    return HardSampler(num_samples=24, positive_fraction=0.25)


SamplerOfStream = Callable[[int], Sampler | HardSampler]


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


def make_head(sampler: SamplerOfStream = draw_all) -> CascadeHead:
    """Three stages.

    Args:
        sampler: From the stream of a stage to its sampler.
    """
    torch.manual_seed(2)
    stages = tuple(
        make_stage(sampler(1 + index), positive_iou=iou, loss_weight=weight, stds=stds)
        for index, (iou, weight, stds) in enumerate(zip(IOUS, WEIGHTS, STDS, strict=True))
    )
    selector = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=100)
    return CascadeHead(rpn=make_rpn().double(), stages=stages, selector=selector)


def make_stage(
    sampler: Sampler | HardSampler,
    *,
    positive_iou: float,
    loss_weight: float,
    stds: tuple[float, float, float, float],
) -> CascadeStage:
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
    return CascadeStage(
        box_stage=box_stage,
        region_draw=RegionDraw(
            num_classes=NUM_CLASSES,
            matcher=Matcher(positive_iou=positive_iou, negative_iou=positive_iou, min_positive_iou=None),
            sampler=sampler,
        ),
        loss_weight=loss_weight,
        clipping=BoxClipping(),
    )


def make_masks(*, flow: bool, average: MaskAverage = "all") -> MaskCascade:
    """A branch for each stage, with logits that are not all nearly zero."""
    torch.manual_seed(3)
    branches = tuple(
        MaskBranch(
            in_channels=CHANNELS,
            num_classes=NUM_CLASSES,
            pooling=RegionPooling(strides=(STRIDE,), cells=4, sampling_ratio=2, aligned=True),
            num_convs=2,
            channels=5,
            takes_features=flow and index > 0,
        ).double()
        for index in range(len(IOUS))
    )
    for branch in branches:
        torch.nn.init.normal_(branch.logits.weight)
        for module in branch.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and module.bias is not None:
                torch.nn.init.normal_(module.bias)
    return MaskCascade(branches=branches, average=average)


def make_pyramid() -> Pyramid:
    level = torch.randn(2, CHANNELS, 16, 16, generator=torch.Generator().manual_seed(4)).double()
    return Pyramid((level.requires_grad_(),), strides=(STRIDE,))
