"""Every setting of a cascade reaches what is built, and what is not set is the paper's."""

import torch

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sampler
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.loading import load_spec


def cascade_of(*settings: str) -> CascadeHead:
    spec = load_spec(preset="hrnet-w18", settings=["model.head.kind=cascade_rcnn", *settings]).spec
    with torch.device("meta"):
        head = build_plain_detector(spec.model, num_classes=7).head
    assert isinstance(head, CascadeHead)
    return head


def test_settings_of_the_stages_are_those_of_the_network() -> None:
    head = cascade_of(
        "model.box_corners=inclusive",
        "model.head.rpn.nms_iou=0.6",
        "model.head.roi_head={num_samples: 40, positive_fraction: 0.3, pool_cells: 5, hidden_features: 9}",
        "model.head.roi_head.pool_sampling_ratio=3",
        "model.head.roi_head.pool_aligned=false",
        "model.head.roi_head.box_means=[0.1, 0.2, 0.3, 0.4]",
        "model.head.roi_head.box_clamp=enlarging",
        "model.head.roi_head.box_loss={kind: l1, beta: null}",
        "model.head.roi_head.max_detections=17",
        "model.head.stages=[{positive_iou: 0.4, box_stds: [1, 2, 3, 4], loss_weight: 3},"
        "{positive_iou: 0.55, min_positive_iou: 0.2, box_stds: [5, 6, 7, 8], loss_weight: 0.2}]",
    )
    assert head.rpn.test_selector.nms_iou == 0.6
    assert head.selector.max_detections == 17
    first, second = head.stages
    assert (first.loss_weight, second.loss_weight) == (3, 0.2)
    assert first.region_draw.matcher == Matcher(positive_iou=0.4, negative_iou=0.4, min_positive_iou=None)
    assert second.region_draw.matcher == Matcher(positive_iou=0.55, negative_iou=0.55, min_positive_iou=0.2)
    for stage, stds, stream in ((first, (1, 2, 3, 4), 1), (second, (5, 6, 7, 8), 2)):
        layers = stage.box_stage
        assert layers.coder == BoxCoder(stds=stds, means=(0.1, 0.2, 0.3, 0.4), clamp="enlarging")
        assert layers.box_loss == BoxLoss(kind="l1")
        assert (layers.pooling.cells, layers.pooling.sampling_ratio, layers.pooling.aligned) == (5, 3, False)
        assert (layers.fc1.out_features, layers.classifier.out_features) == (9, 8)
        assert stage.clipping == BoxClipping(corners="inclusive")
        assert stage.region_draw.num_classes == 7
        sampler = Sampler(num_samples=40, positive_fraction=0.3, stream=stream)
        assert stage.region_draw.sampler == sampler


def test_hard_examples_are_taken_where_the_spec_says_so() -> None:
    for stage in cascade_of("model.head.roi_head.sampling=ohem").stages:
        assert stage.region_draw.sampler == HardSampler(num_samples=512, positive_fraction=0.25)


def test_without_settings_it_is_the_cascade_of_the_paper() -> None:
    head = cascade_of()
    assert [stage.region_draw.matcher.positive_iou for stage in head.stages] == [0.5, 0.6, 0.7]
    assert [stage.loss_weight for stage in head.stages] == [1, 0.5, 0.25]
    assert [stage.box_stage.coder.stds for stage in head.stages] == [
        (0.1, 0.1, 0.2, 0.2),
        (0.05, 0.05, 0.1, 0.1),
        (0.033, 0.033, 0.067, 0.067),
    ]
    assert {stage.box_stage.regressor.out_features for stage in head.stages} == {4}
    assert {stage.box_stage.box_loss for stage in head.stages} == {BoxLoss(kind="smooth_l1", beta=1.0)}
    assert head.rpn.box_loss == BoxLoss(kind="smooth_l1", beta=1 / 9)
    assert (head.rpn.allowed_border, head.rpn.training_selector.max_proposals) == (0, 2000)
    assert len({id(stage.box_stage) for stage in head.stages}) == 3


def test_mask_branches_flow_and_are_trained_on_refined_regions_where_the_spec_says_so() -> None:
    plain, hybrid = (
        cascade_of(
            "model.head.mask={pool_cells: 7, pool_sampling_ratio: 3, pool_aligned: false, num_convs: 2}",
            "model.head.mask.channels=12",
            *settings,
        )
        for settings in (
            [],
            ["model.head.mask={flow: true, interleaved: true, average: last}"],
        )
    )
    assert plain.masks is not None
    assert hybrid.masks is not None
    assert (plain.masks.average, hybrid.masks.average) == ("all", "last")
    for head in (plain, hybrid):
        assert head.masks is not None
        for branch in head.masks.branches:
            pooling = branch.pooling
            assert (pooling.cells, pooling.sampling_ratio, pooling.aligned) == (7, 3, False)
            assert (len(branch.convs), branch.logits.in_channels, branch.logits.out_channels) == (2, 12, 7)
    assert all(branch.conv_res is None for branch in plain.masks.branches)
    assert [branch.conv_res is not None for branch in hybrid.masks.branches] == [False, True, True]
    assert all(stage.mask_draw is None for stage in plain.stages)
    streams = []
    for stage in hybrid.stages:
        assert stage.mask_draw is not None
        assert stage.mask_draw.matcher == stage.region_draw.matcher
        streams += [
            draw.sampler.stream
            for draw in (stage.region_draw, stage.mask_draw)
            if isinstance(draw.sampler, Sampler)
        ]
    assert sorted(streams) == [1, 2, 3, 4, 5, 6]
    assert hybrid.rpn.sampler.stream == 0


def test_a_semantic_branch_is_built_and_pooled_as_the_spec_says() -> None:
    semantic = "{num_labels: 9, num_convs: 2, pool_cells: 8, pool_sampling_ratio: 3, pool_aligned: false}"
    head = cascade_of(
        f"model.head.semantic={semantic}",
        "model.head.semantic.loss_weight=0.7",
        "model.head.mask={}",
        "data.train.label_maps=maps",
    )
    branch = head.semantic_head
    assert branch is not None
    assert (branch.logits.out_channels, len(branch.convs), branch.loss_weight) == (9, 2, 0.7)
    assert len(branch.laterals) == 5
    assert branch.embedding.out_channels == 256
    assert head.masks is not None
    poolings = [stage.box_stage.pooling for stage in head.stages]
    poolings += [mask_branch.pooling for mask_branch in head.masks.branches]
    for pooling in poolings:
        around = pooling.semantic
        assert around is not None
        assert (around.cells, around.sampling_ratio, around.aligned, around.strides) == (8, 3, False, (8,))
    assert list(head.parts) == ["rpn", "roi_head", "mask_head", "semantic_head"]
    plain = cascade_of("model.head.mask={}")
    assert plain.semantic_head is None
    assert all(stage.box_stage.pooling.semantic is None for stage in plain.stages)
