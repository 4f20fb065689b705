"""Every setting of heads that look once reaches what is built."""

import torch

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout
from hrdet_cli.engine.models.dense.fcos import FcosHead, PointScoring
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.point_matching import PointMatcher
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.runs.build.anchors import build_anchor_fit, build_point_fit
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.loading import load_spec


def head_of(kind: str, *settings: str) -> OneStageHead:
    keys = [f"model.head.{setting}" for setting in settings]
    spec = load_spec(preset="hrnet-w18", settings=[f"model.head.kind={kind}", *keys]).spec
    with torch.device("meta"):
        head = build_plain_detector(spec.model, num_classes=3).head
    assert isinstance(head, OneStageHead)
    return head


def test_settings_of_retinanet_are_those_of_the_network() -> None:
    settings = (
        "channels=40",
        "num_convs=2",
        "norm=batch",
        "prior_probability=0.1",
        "focal_alpha=0.3",
        "focal_gamma=1.5",
        "num_candidates_per_level=11",
        "anchor_scale=3",
        "anchor_scales_per_octave=2",
        "anchor_aspect_ratios=[0.7, 1.3]",
        "anchor_offset=0.25",
        "round_anchors=true",
        "whole_anchor_sides=true",
        "anchor_step=canvas",
        "anchor_area=padded",
        "allowed_border_pixels=7",
        "positive_iou=0.6",
        "negative_iou=0.3",
        "min_positive_iou=0.1",
        "low_quality_target=best",
        "box_means=[0.1, 0.2, 0.3, 0.4]",
        "box_stds=[0.5, 0.6, 0.7, 0.8]",
        "box_clamp=enlarging",
        "box_loss={kind: giou}",
        "averaging=picture",
        "score_threshold=0.01",
        "nms_iou=0.3",
        "min_side_pixels=3",
        "max_detections=17",
    )
    head = head_of("retinanet", *settings)
    dense = head.dense
    assert isinstance(dense, RetinaHead)
    assert list(head.parts) == ["retina_head"]
    assert [tuple(conv.get_parameter("weight").shape) for conv in dense.box_convs] == [
        (40, 256, 3, 3),
        (40, 40, 3, 3),
    ]
    assert all(isinstance(conv.norm, torch.nn.BatchNorm2d) for conv in dense.class_convs)
    assert dense.class_logits.weight.shape == (4 * 3, 40, 3, 3)
    shapes = dense.anchor_generator.shapes
    assert shapes.strides == (8, 16, 32, 64, 128)
    assert (shapes.scale, shapes.scales_per_octave, shapes.aspect_ratios) == (3, 2, (0.7, 1.3))
    layout = AnchorLayout(offset=0.25, is_rounded=True, has_whole_sides=True, step="canvas", area="padded")
    assert shapes.layout == layout
    assert dense.matcher == Matcher(
        positive_iou=0.6, negative_iou=0.3, min_positive_iou=0.1, low_quality_target="best"
    )
    assert dense.coder == BoxCoder(stds=(0.5, 0.6, 0.7, 0.8), means=(0.1, 0.2, 0.3, 0.4), clamp="enlarging")
    assert dense.allowed_border == 7
    assert dense.class_loss == FocalLoss(alpha=0.3, gamma=1.5)
    assert dense.box_loss == OverlapLoss(kind="giou")
    assert (dense.averaging, dense.num_candidates_per_level) == ("picture", 11)
    assert head.selector == DetectionSelector(
        score_threshold=0.01, nms_iou=0.3, max_detections=17, clipping=BoxClipping(min_side_pixels=3)
    )


def test_without_settings_retinanet_is_the_published_one() -> None:
    dense = head_of("retinanet").dense
    assert isinstance(dense, RetinaHead)
    assert [len(tower) for tower in (dense.class_convs, dense.box_convs)] == [4, 4]
    assert all(conv.norm is None for conv in dense.class_convs)
    assert dense.anchor_generator.num_per_cell == 9
    assert dense.matcher == Matcher(positive_iou=0.5, negative_iou=0.4, min_positive_iou=0)
    assert dense.box_loss == BoxLoss(kind="l1")
    assert dense.allowed_border is None


def test_settings_of_fcos_are_those_of_the_network() -> None:
    settings = (
        "channels=64",
        "num_convs=2",
        "focal_alpha=0.3",
        "focal_gamma=1.5",
        "num_candidates_per_level=11",
        "point_area=canvas",
        "point_offset=0.25",
        "point_step=canvas",
        "conv_bias=true",
        "box_loss_weights=none",
        "range_ends_pixels=[10, 20, 30, 40]",
        "centre_radius=1.5",
        "distances=strides",
        "centreness_from=boxes",
        "box_loss=giou",
        "score_rule=geometric_mean",
        "score_threshold=0.2",
        "nms_iou=0.6",
        "max_detections=17",
    )
    head = head_of("fcos", *settings)
    dense = head.dense
    assert isinstance(dense, FcosHead)
    assert list(head.parts) == ["fcos_head"]
    assert [tuple(conv.get_parameter("weight").shape) for conv in dense.class_convs] == [
        (64, 256, 3, 3),
        (64, 64, 3, 3),
    ]
    assert all(isinstance(conv.norm, torch.nn.GroupNorm) for conv in dense.class_convs)
    assert dense.strides == (8, 16, 32, 64, 128)
    assert dense.point_layout == PointLayout(offset=0.25, step="canvas", area="canvas")
    assert (dense.distances_are, dense.centreness_from) == ("strides", "boxes")
    assert dense.box_loss_weights == "none"
    assert all(conv.bias is not None for conv in dense.box_convs)
    assert dense.matcher == PointMatcher(range_ends=(10, 20, 30, 40), centre_radius=1.5)
    assert dense.class_loss == FocalLoss(alpha=0.3, gamma=1.5)
    assert dense.box_loss == OverlapLoss(kind="giou")
    assert dense.scoring == PointScoring(
        rule="geometric_mean", score_threshold=0.2, num_candidates_per_level=11
    )
    # What is left has passed the threshold already.
    assert head.selector == DetectionSelector(score_threshold=0, nms_iou=0.6, max_detections=17)


def test_the_prior_probability_is_that_of_the_first_predictions() -> None:
    for kind in ("retinanet", "fcos"):
        settings = [f"model.head.kind={kind}", "model.head.prior_probability=0.2"]
        spec = load_spec(preset="demo", settings=settings).spec
        head = build_plain_detector(spec.model, num_classes=3).head
        assert isinstance(head, OneStageHead)
        bias = head.dense.get_parameter("class_logits.bias")
        torch.testing.assert_close(bias.sigmoid(), torch.full_like(bias, 0.2))


def test_the_fit_knows_the_anchors_and_the_points_of_the_network() -> None:
    anchored = load_spec(preset="hrnet-w18", settings=["model.head.kind=retinanet"]).spec
    fit = build_anchor_fit(anchored)
    dense = head_of("retinanet").dense
    assert isinstance(dense, RetinaHead)
    assert fit is not None
    assert fit.anchors == dense.anchor_generator.shapes
    assert build_point_fit(anchored) is None
    pointed = load_spec(
        preset="hrnet-w18", settings=["model.head.kind=fcos", "model.head.centre_radius=2"]
    ).spec
    assert build_anchor_fit(pointed) is None
    points = build_point_fit(pointed)
    assert points is not None
    assert (points.levels.strides, points.centre_radius) == ((8, 16, 32, 64, 128), 2)
    assert points.range_ends == (64, 128, 256, 512)
