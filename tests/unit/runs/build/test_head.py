"""Every setting of the heads reaches what is built; presets of published weights have what they claim."""

import pytest
import torch
from torch import nn

from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.normed_convs import NormedConv
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.runs.build.anchors import build_anchor_fit
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.runs.build.masks import build_mask_pasting
from hrdet_cli.specs.loading import load_spec
from tests.two_stage import two_stage


def detector_of(preset: str, *settings: str) -> Detector:
    with torch.device("meta"):
        return build_plain_detector(load_spec(preset=preset, settings=settings).spec.model, num_classes=3)


def test_settings_of_the_rpn_are_those_of_the_network() -> None:
    rpn = two_stage(
        detector_of(
            "demo",
            "model.box_corners=inclusive",
            "model.head.rpn.num_convs=2",
            "model.head.rpn.norm=group",
            "model.head.rpn.anchor_offset=0.25",
            "model.head.rpn.round_anchors=true",
            "model.head.rpn.anchor_step=canvas",
            "model.head.rpn.anchor_area=canvas",
            "model.head.rpn.positive_iou=0.8",
            "model.head.rpn.negative_iou=0.2",
            "model.head.rpn.min_positive_iou=0.1",
            "model.head.rpn.low_quality_target=best",
            "model.head.rpn.box_means=[0.1, 0.2, 0.3, 0.4]",
            "model.head.rpn.box_stds=[0.5, 0.6, 0.7, 0.8]",
            "model.head.rpn.box_clamp=enlarging",
            "model.head.rpn.min_side_pixels=3",
            "model.head.rpn.nms_iou=0.6",
            "model.head.rpn.num_train_candidates_per_level=11",
            "model.head.rpn.num_train_proposals=12",
            "model.head.rpn.num_test_candidates_per_level=13",
            "model.head.rpn.num_test_proposals=14",
        )
    ).rpn
    assert [type(conv.norm) for conv in rpn.conv.children()] == [nn.GroupNorm] * 2
    assert rpn.anchor_generator.layout == AnchorLayout(
        offset=0.25, is_rounded=True, step="canvas", area="canvas"
    )
    assert rpn.matcher == Matcher(
        positive_iou=0.8, negative_iou=0.2, min_positive_iou=0.1, low_quality_target="best"
    )
    assert rpn.coder == BoxCoder(stds=(0.5, 0.6, 0.7, 0.8), means=(0.1, 0.2, 0.3, 0.4), clamp="enlarging")
    clipping = BoxClipping(corners="inclusive", min_side_pixels=3)
    assert rpn.training_selector == ProposalSelector(
        num_candidates_per_level=11, nms_iou=0.6, max_proposals=12, clipping=clipping
    )
    assert rpn.test_selector == ProposalSelector(
        num_candidates_per_level=13, nms_iou=0.6, max_proposals=14, clipping=clipping
    )


def test_settings_of_the_region_head_are_those_of_the_network() -> None:
    head = two_stage(
        detector_of(
            "demo",
            "model.box_corners=inclusive",
            "model.head.roi_head.positive_iou=0.55",
            "model.head.roi_head.num_samples=40",
            "model.head.roi_head.num_convs=3",
            "model.head.roi_head.conv_channels=40",
            "model.head.roi_head.norm=batch",
            "model.head.roi_head.num_hidden_layers=1",
            "model.head.roi_head.hidden_features=50",
            "model.head.roi_head.positive_fraction=0.3",
            "model.head.roi_head.class_agnostic_boxes=true",
            "model.head.roi_head.box_means=[0.1, 0.2, 0.3, 0.4]",
            "model.head.roi_head.box_stds=[0.5, 0.6, 0.7, 0.8]",
            "model.head.roi_head.box_clamp=enlarging",
            "model.head.roi_head.min_side_pixels=3",
            "model.head.roi_head.score_threshold=0.01",
            "model.head.roi_head.nms_iou=0.3",
            "model.head.roi_head.soft_nms={decay: gaussian, sigma: 0.7, min_score: 0.002}",
            "model.head.roi_head.max_detections=17",
        )
    )
    assert head.region_draw == RegionDraw(
        num_classes=3,
        matcher=Matcher(positive_iou=0.55, negative_iou=0.55, min_positive_iou=None),
        sampler=Sampler(num_samples=40, positive_fraction=0.3, stream=1),
    )
    stage = head.roi_head
    convs = [module for module in stage.modules() if isinstance(module, NormedConv)]
    assert [(conv.out_channels, type(conv.norm)) for conv in convs] == [(40, nn.BatchNorm2d)] * 3
    assert stage.fc1.weight.shape == (50, 40 * 7 * 7)
    assert stage.fc2 is None
    assert stage.regressor.out_features == 4
    assert stage.coder == BoxCoder(stds=(0.5, 0.6, 0.7, 0.8), means=(0.1, 0.2, 0.3, 0.4), clamp="enlarging")
    assert head.selector == DetectionSelector(
        score_threshold=0.01,
        nms_iou=0.3,
        max_detections=17,
        clipping=BoxClipping(corners="inclusive", min_side_pixels=3),
        soft_nms=SoftNms(decay="gaussian", sigma=0.7, min_score=0.002),
    )


@pytest.mark.parametrize(
    ("preset", "layout", "corners"),
    [
        ("hrnet-w18", AnchorLayout(), "exclusive"),
        ("mmdet3-hrnet-w32", AnchorLayout(area="padded"), "exclusive"),
        ("mmdet3-r50-caffe-fpn", AnchorLayout(area="padded"), "exclusive"),
        ("hrnet2019-w18", AnchorLayout(offset=0.5, is_rounded=True, area="padded"), "inclusive"),
        ("torchvision-r50-fpn", AnchorLayout(is_rounded=True, step="canvas", area="canvas"), "exclusive"),
    ],
)
def test_a_family_of_weights_has_its_anchors_and_corners_in_training_and_in_the_fit(
    preset: str, layout: AnchorLayout, corners: str
) -> None:
    detector = detector_of(preset)
    head = two_stage(detector)
    assert head.rpn.anchor_generator.layout == layout
    assert head.rpn.test_selector.clipping.corners == corners
    assert head.selector.clipping.corners == corners
    fit = build_anchor_fit(load_spec(preset=preset).spec)
    assert fit is not None
    assert fit.anchors == head.rpn.anchor_generator.shapes


def test_without_settings_boxes_are_class_wise_and_hard_nms_drops() -> None:
    head = two_stage(detector_of("demo"))
    assert head.roi_head.regressor.out_features == 12
    assert head.selector.soft_nms is None
    assert head.selector.clipping == BoxClipping()


def test_settings_of_the_mask_branch_are_those_of_the_network() -> None:
    settings = (
        "pool_cells=5",
        "pool_sampling_ratio=0",
        "pool_aligned=false",
        "num_convs=3",
        "channels=40",
        "norm=group",
        "threshold=0.4",
        "paste=torchvision",
    )
    spec = load_spec(preset="demo", settings=[f"model.head.mask.{setting}" for setting in settings]).spec
    with torch.device("meta"):
        branch = two_stage(build_plain_detector(spec.model, num_classes=3)).mask_head
    assert branch is not None
    pooling = branch.pooling
    assert (pooling.cells, pooling.sampling_ratio, pooling.aligned) == (5, 0, False)
    assert pooling.strides == (4, 8, 16, 32)
    assert branch.mask_cells == 10
    assert [conv.weight.shape for conv in branch.convs] == [(40, 48, 3, 3), (40, 40, 3, 3), (40, 40, 3, 3)]
    assert all(isinstance(conv.norm, nn.GroupNorm) for conv in branch.convs)
    assert branch.logits.weight.shape == (3, 40, 1, 1)
    assert build_mask_pasting(spec.model) == MaskPasting(threshold=0.4, rule="torchvision")


def test_without_a_mask_section_boxes_are_all() -> None:
    spec = load_spec(preset="demo").spec
    assert not spec.model.head.has_masks
    assert two_stage(detector_of("demo")).mask_head is None
    assert build_mask_pasting(spec.model) is None
    masks = two_stage(detector_of("demo", "model.head.mask={}")).mask_head
    assert masks is not None
    assert len(masks.convs) == 4
    assert masks.mask_cells == 28
