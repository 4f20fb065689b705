"""The presets: complete, documented, and the ancestor's recipe to the number."""

import re
from pathlib import Path

import pytest

from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.engine.weights.published.table import published_as
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.augmentation import ResizeCropSpec, ResizeSpec
from hrdet_cli.specs.backbone import HRNetBackboneSpec, ResNetBackboneSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.boxes import BoxLossSpec
from hrdet_cli.specs.heads.cascade import PUBLISHED_STAGES, CascadeRcnnSpec
from hrdet_cli.specs.heads.fcos import FcosSpec
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.norm import BatchNormSpec, SyncBatchNormSpec
from hrdet_cli.specs.optimisation import (
    BackboneGroupSpec,
    EmaSpec,
    ParameterGroupSpec,
    ParameterGroupsSpec,
    SgdSpec,
    StepScheduleSpec,
)
from hrdet_cli.specs.padding import BatchPaddingSpec, FixedPaddingSpec
from hrdet_cli.specs.presets import (
    TITLE_BY_FOLDER,
    all_presets,
    by_title,
    find_preset,
    presets_folder,
    with_words,
)

NAMES = [
    "cascade-hrnet-w18-20e",
    "cascade-hrnet-w18-mstrain-pad-20e",
    "cascade-hrnet-w32-20e",
    "cascade-hrnet-w32-mstrain-pad-20e",
    "cascade-hrnet-w40-20e",
    "cascade-hrnet-w48-20e",
    "cascade-mask-hrnet-w18-20e",
    "cascade-mask-hrnet-w18-mstrain-pad-20e",
    "cascade-mask-hrnet-w32-20e",
    "cascade-mask-hrnet-w32-mstrain-pad-20e",
    "cascade-mask-hrnet-w40-20e",
    "cascade-mask-hrnet-w48-20e",
    "demo",
    "demo-mask",
    "detectron2-mask-r101-fpn",
    "detectron2-mask-r50-fpn",
    "detectron2-r101-fpn",
    "detectron2-r50-fpn",
    "fcos-hrnet-w18",
    "fcos-hrnet-w18-2x",
    "fcos-hrnet-w18-mstrain-2x",
    "fcos-hrnet-w18-syncbn-mstrain-2x",
    "fcos-hrnet-w32",
    "fcos-hrnet-w32-2x",
    "fcos-hrnet-w32-mstrain-2x",
    "fcos-hrnet-w32-syncbn-mstrain-2x",
    "fcos-hrnet-w40-mstrain-2x",
    "fcos-hrnet-w48-mstrain-2x",
    "finetune-w18",
    "hrnet-w18",
    "hrnet-w18-16batch-ms",
    "hrnet-w18-2x",
    "hrnet-w18-mstrain-continuous-pad",
    "hrnet-w18-mstrain-nearscales",
    "hrnet-w18-mstrain-pad",
    "hrnet-w18-mstrain-pad-2x",
    "hrnet-w18-randresizecrop",
    "hrnet-w18-randresizecrop-2x",
    "hrnet-w18-syncbn",
    "hrnet-w32",
    "hrnet-w32-2x",
    "hrnet-w32-mstrain-pad",
    "hrnet-w32-mstrain-pad-2x",
    "hrnet-w32-mstrain-pad-3x",
    "hrnet-w40",
    "hrnet-w40-2x",
    "hrnet2019-cascade-mask-w18",
    "hrnet2019-cascade-mask-w32",
    "hrnet2019-cascade-mask-w48",
    "hrnet2019-cascade-r101-fpn",
    "hrnet2019-cascade-w18",
    "hrnet2019-cascade-w32",
    "hrnet2019-cascade-w48",
    "hrnet2019-fcos-w18",
    "hrnet2019-fcos-w32",
    "hrnet2019-fcos-w48",
    "hrnet2019-htc-w18",
    "hrnet2019-htc-w32",
    "hrnet2019-htc-w48",
    "hrnet2019-mask-w18",
    "hrnet2019-mask-w32",
    "hrnet2019-mask-w48",
    "hrnet2019-r50-fpn",
    "hrnet2019-w18",
    "hrnet2019-w32",
    "hrnet2019-w40",
    "hrnet2019-w48",
    "htc-hrnet-w18-20e",
    "htc-hrnet-w32-20e",
    "htc-hrnet-w40-20e",
    "htc-hrnet-w40-28e",
    "htc-hrnet-w48-20e",
    "htc-hrnet-w48-28e",
    "lsj-cascade-mask-w48",
    "lsj-w18",
    "lsj-w32",
    "lsj-w40",
    "mask-hrnet-w18",
    "mask-hrnet-w18-2x",
    "mask-hrnet-w18-mstrain-pad",
    "mask-hrnet-w32",
    "mask-hrnet-w32-2x",
    "mask-hrnet-w32-mstrain-pad",
    "mmdet3-cascade-hrnet-w18",
    "mmdet3-cascade-hrnet-w32",
    "mmdet3-cascade-hrnet-w40",
    "mmdet3-cascade-mask-hrnet-w18",
    "mmdet3-cascade-mask-hrnet-w32",
    "mmdet3-cascade-mask-hrnet-w40",
    "mmdet3-cascade-mask-r101-caffe-fpn",
    "mmdet3-cascade-mask-r101-fpn",
    "mmdet3-cascade-mask-r50-caffe-fpn",
    "mmdet3-cascade-mask-r50-fpn",
    "mmdet3-cascade-r101-caffe-fpn",
    "mmdet3-cascade-r101-fpn",
    "mmdet3-cascade-r50-caffe-fpn",
    "mmdet3-cascade-r50-fpn",
    "mmdet3-fcos-hrnet-w18",
    "mmdet3-fcos-hrnet-w32",
    "mmdet3-fcos-hrnet-w40",
    "mmdet3-fcos-r101-caffe-fpn",
    "mmdet3-fcos-r50-caffe-fpn",
    "mmdet3-hrnet-w18",
    "mmdet3-hrnet-w32",
    "mmdet3-hrnet-w40",
    "mmdet3-htc-hrnet-w18",
    "mmdet3-htc-hrnet-w32",
    "mmdet3-htc-hrnet-w40",
    "mmdet3-htc-r101-fpn",
    "mmdet3-htc-r50-fpn",
    "mmdet3-mask-hrnet-w18",
    "mmdet3-mask-hrnet-w32",
    "mmdet3-mask-hrnet-w40",
    "mmdet3-mask-r101-caffe-fpn",
    "mmdet3-mask-r101-fpn",
    "mmdet3-mask-r50-caffe-fpn",
    "mmdet3-mask-r50-fpn",
    "mmdet3-r101-caffe-fpn",
    "mmdet3-r101-fpn",
    "mmdet3-r50-caffe-fpn",
    "mmdet3-r50-fpn",
    "mmdet3-retinanet-r101-fpn",
    "mmdet3-retinanet-r50-fpn",
    "r101-fpn",
    "r50-fpn",
    "r50-fpn-mstrain-pad",
    "r50-fpn-syncbn",
    "retinanet-r50-fpn",
    "rpn-hrnet-w18-syncbn",
    "rpn-hrnet-w18-syncbn-ms",
    "rpn-r50-fpn-syncbn",
    "rpn-r50-fpn-syncbn-ms",
    "small-data",
    "tiles-w18",
    "torchvision-fcos-r50-fpn",
    "torchvision-mask-r50-fpn",
    "torchvision-mask-r50-fpn-v2",
    "torchvision-r50-fpn",
    "torchvision-r50-fpn-v2",
    "torchvision-retinanet-r50-fpn",
    "torchvision-retinanet-r50-fpn-v2",
]


def spec_of(name: str) -> ExperimentSpec:
    return load_spec(preset=name).spec


def test_these_presets_exist_and_no_others() -> None:
    assert list(all_presets()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_named_like_its_file_and_says_how_to_launch_it(name: str) -> None:
    text = find_preset(name).read()
    assert spec_of(name).name == name
    assert spec_of(name).description
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any(re.search(rf"hrdet (train|eval \S+) --preset {name}( |$)", line) for line in header)
    assert any(re.match(r"# Not ", line) for line in header)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_that_starts_from_a_file_says_what_fetches_the_same_weights(name: str) -> None:
    weights = spec_of(name).model.weights
    if weights is None or is_weights_name(weights):
        return
    published = published_as(weights)
    header = " ".join(line for line in find_preset(name).read().splitlines() if line.startswith("#"))
    assert published is not None
    assert published.name is not None
    assert f"# Weights: {weights}" in header
    assert f"--weights {published.name} fetches the same" in header


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_can_be_trained_from_scratch(name: str) -> None:
    spec = load_spec(preset=name, from_scratch=True).spec
    assert spec.model.weights is None
    assert spec.model.backbone.frozen_stages == 0
    assert spec.norm.kind in ("batch", "sync")
    assert not getattr(spec.norm, "keep_statistics", False)
    assert spec.norm.epsilon > 0
    assert spec.optimisation.parameter_groups.backbone.learning_rate_factor >= 1
    trained = spec_of(name)
    assert (spec.data, spec.augmentation, spec.padding) == (
        trained.data,
        trained.augmentation,
        trained.padding,
    )
    assert spec.optimisation.num_epochs == trained.optimisation.num_epochs


def test_from_scratch_also_trains_what_a_setting_brings_in() -> None:
    settings = ["model.backbone.kind=resnet", "name=mine"]
    spec = load_spec(preset="hrnet-w18", settings=settings, from_scratch=True).spec
    assert spec.model.backbone == ResNetBackboneSpec(kind="resnet", frozen_stages=0)
    assert spec.name == "mine"


@pytest.mark.parametrize(
    "setting",
    [
        "norm.kind=frozen",
        "norm.keep_statistics=true",
        "model.backbone.frozen_stages=1",
        "model.weights=w.pth",
        "optimisation.parameter_groups.backbone.learning_rate_factor=0",
        "optimisation.parameter_groups.backbone.stage_decay=0.8",
    ],
)
def test_from_scratch_contradicts_settings_that_keep_trained_weights(setting: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_spec(preset="hrnet-w18", settings=[setting], from_scratch=True)
    (problem,) = caught.value.problems
    assert problem.startswith(f"--from-scratch: contradicts --set {setting}: ")


def test_every_yaml_file_in_the_folder_is_a_preset() -> None:
    assert {path.stem for path in presets_folder().rglob("*.y*ml")} == set(all_presets())


def test_presets_are_in_folders_that_say_what_they_are() -> None:
    grouped = by_title(all_presets())
    assert sorted(name for names in grouped.values() for name in names) == sorted(NAMES)
    assert list(grouped) == [title for title in TITLE_BY_FOLDER.values() if title in grouped]
    assert grouped["To start with"] == ["demo", "demo-mask", "finetune-w18", "small-data", "tiles-w18"]
    folder_by_start = {
        "mask": "mask",
        "cascade": "cascade",
        "mmdet3": "mmdetection",
        "hrnet2019": "year-2019",
        "torchvision": "torchvision",
        "rpn": "proposals",
        "fcos": "dense",
        "htc": "htc",
        "detectron2": "detectron2",
        "retinanet": "dense",
    }
    for name, preset in all_presets().items():
        folder = folder_by_start.get(name.partition("-")[0])
        assert folder is None or preset.path.parent.name == folder, name


def test_presets_are_found_by_words_of_their_names_titles_and_descriptions() -> None:
    descriptions = {name: spec_of(name).description for name in NAMES}
    assert with_words(descriptions, ["W32", "pad", "Faster"]) == [
        "hrnet-w32-mstrain-pad",
        "hrnet-w32-mstrain-pad-2x",
        "hrnet-w32-mstrain-pad-3x",
    ]
    assert with_words(descriptions, ["built-in"]) == ["demo", "demo-mask"]
    assert set(with_words(descriptions, ["mmdetection 2"])) == {n for n in NAMES if n.startswith("mmdet3")}
    assert with_words(descriptions, []) == list(descriptions)
    with pytest.raises(SpecError, match="no preset has w32 and w40; `hrdet presets list` shows all"):
        with_words(descriptions, ["w32", "w40"])


@pytest.mark.parametrize(
    ("name", "epochs", "drops", "num_pictures", "rate_of_16"),
    [
        # The last is 0.01 for 8 pictures (2019) as well as 0.02 for 16 (mmdetection).
        ("mask-hrnet-w18", 12, (8, 11), 2, 0.02),
        ("mask-hrnet-w32-2x", 24, (20, 23), 2, 0.02),
        ("mask-hrnet-w18-mstrain-pad", 12, (8, 11), 4, 0.02),
        ("cascade-hrnet-w18-20e", 20, (16, 19), 2, 0.02),
        ("cascade-hrnet-w48-20e", 20, (16, 19), 2, 0.02),
        ("cascade-hrnet-w32-mstrain-pad-20e", 20, (16, 19), 2, 0.02),
        ("htc-hrnet-w18-20e", 20, (16, 19), 2, 0.02),
        ("htc-hrnet-w48-28e", 28, (24, 27), 2, 0.02),
        ("mmdet3-htc-hrnet-w40", 20, (16, 19), 2, 0.02),
        ("detectron2-mask-r101-fpn", 12, (8, 11), 4, 0.02),
        ("fcos-hrnet-w18", 12, (8, 11), 4, 0.01),
        ("fcos-hrnet-w32-2x", 24, (16, 22), 4, 0.01),
        ("fcos-hrnet-w48-mstrain-2x", 24, (16, 22), 4, 0.01),
        ("retinanet-r50-fpn", 12, (8, 11), 4, 0.01),
        ("mmdet3-fcos-hrnet-w40", 12, (8, 11), 4, 0.01),
        ("mmdet3-retinanet-r101-fpn", 12, (8, 11), 4, 0.01),
        ("hrnet-w18-16batch-ms", 12, (8, 11), 4, 0.02),
        ("mmdet3-mask-hrnet-w18", 12, (8, 11), 4, 0.02),
        ("mmdet3-cascade-hrnet-w40", 20, (16, 19), 2, 0.02),
        ("hrnet2019-mask-w18", 12, (8, 11), 2, 0.02),
        ("hrnet2019-cascade-w32", 20, (16, 19), 2, 0.02),
    ],
)
def test_schedules_are_the_published_ones(
    name: str, epochs: int, drops: tuple[int, ...], num_pictures: int, rate_of_16: float
) -> None:
    spec = spec_of(name)
    assert (spec.optimisation.num_epochs, spec.optimisation.drop_epochs) == (epochs, drops)
    assert spec.data.batch_size_per_process == num_pictures
    assert spec.optimisation.learning_rate_for(16) == pytest.approx(rate_of_16)


def test_other_recipes_of_2019_have_its_scales_and_norms() -> None:
    several, near = spec_of("hrnet-w18-16batch-ms"), spec_of("hrnet-w18-mstrain-nearscales")
    assert several.augmentation == ResizeSpec(scales_pixels=((1667, 1000), (1000, 600), (1333, 800)))
    assert near.augmentation == ResizeSpec(scales_pixels=((1500, 900), (1167, 700), (1333, 800)))
    assert isinstance(several.norm, BatchNormSpec)
    assert several.norm.keep_statistics
    assert isinstance(near.norm, SyncBatchNormSpec)
    assert several.padding == near.padding == BatchPaddingSpec(policy="batch")


@pytest.mark.parametrize("name", ["fcos-hrnet-w18", "mmdet3-fcos-hrnet-w18", "hrnet2019-fcos-w18"])
def test_fcos_is_warmed_up_at_a_third_and_does_not_decay_its_biases(name: str) -> None:
    optimisation = spec_of(name).optimisation
    assert (optimisation.warmup_shape, optimisation.warmup_steps) == ("constant", 500)
    assert optimisation.warmup_factor == pytest.approx(1 / 3)
    assert optimisation.parameter_groups == ParameterGroupsSpec(
        bias=ParameterGroupSpec(learning_rate_factor=2, weight_decay_factor=0)
    )
    assert optimisation.clip_norm == 35
    assert spec_of(name).model.pixel_order == ("rgb" if name == "fcos-hrnet-w18" else "bgr")


def test_fcos_with_syncbn_has_it_in_the_head_too() -> None:
    spec = spec_of("fcos-hrnet-w32-syncbn-mstrain-2x")
    assert isinstance(spec.model.head, FcosSpec)
    assert spec.model.head.norm == "batch"
    assert isinstance(spec.norm, SyncBatchNormSpec)
    assert spec.augmentation == ResizeSpec(scales_pixels=((1333, 640), (1333, 800)))


@pytest.mark.parametrize("name", ["htc-hrnet-w48-28e", "mmdet3-htc-r50-fpn", "hrnet2019-htc-w32"])
def test_htc_has_all_that_makes_it_and_the_pooling_of_its_boxes(name: str) -> None:
    spec = spec_of(name)
    head = spec.model.head
    assert isinstance(head, CascadeRcnnSpec)
    assert head.mask is not None
    assert head.semantic is not None
    assert (head.mask.flow, head.mask.interleaved, head.mask.average) == (True, True, "all")
    assert (head.roi_head.score_threshold, head.semantic.num_labels) == (0.001, 183)
    assert [stage.min_positive_iou for stage in head.stages] == [0.5, 0.6, 0.7]
    for part in (head.mask, head.semantic):
        assert part.pool_sampling_ratio == head.roi_head.pool_sampling_ratio
        assert part.pool_aligned == head.roi_head.pool_aligned
    assert str(spec.data.training_sets[0].label_maps) == "stuffthingmaps/train2017"


@pytest.mark.parametrize(
    "name", ["hrnet2019-w18", "hrnet2019-w40", "hrnet2019-mask-w32", "hrnet2019-r50-fpn"]
)
def test_detectors_of_2019_propose_2000_regions_in_testing_too_and_boxes_claim_regions(name: str) -> None:
    head = spec_of(name).model.head
    assert isinstance(head, FasterRcnnSpec)
    assert (head.rpn.num_test_candidates_per_level, head.rpn.num_test_proposals) == (2000, 2000)
    assert head.roi_head.min_positive_iou == 0.5


@pytest.mark.parametrize(
    "name",
    [
        "cascade-hrnet-w48-20e",
        "cascade-hrnet-w32-mstrain-pad-20e",
        "cascade-mask-hrnet-w40-20e",
        "htc-hrnet-w18-20e",
        "hrnet2019-cascade-w18",
    ],
)
def test_boxes_claim_the_regions_of_every_stage_in_cascades_of_2019(name: str) -> None:
    head = spec_of(name).model.head
    assert isinstance(head, CascadeRcnnSpec)
    claiming = [
        stage.model_copy(update={"min_positive_iou": stage.positive_iou}) for stage in PUBLISHED_STAGES
    ]
    assert list(head.stages) == claiming


@pytest.mark.parametrize("head", ["", "mask-", "cascade-", "cascade-mask-"])
@pytest.mark.parametrize("depth", [50, 101])
def test_detectors_in_the_caffe_style_differ_in_style_colours_norms_and_epochs_alone(
    head: str, depth: int
) -> None:
    caffe, pytorch = (spec_of(f"mmdet3-{head}r{depth}-{style}fpn") for style in ("caffe-", ""))
    of_style = {"backbone", "weights", "pixel_order", "pixel_std"}
    assert caffe.model.model_dump(exclude=of_style) == pytorch.model.model_dump(exclude=of_style)
    assert isinstance(caffe.model.backbone, ResNetBackboneSpec)
    assert (caffe.model.backbone.style, caffe.model.backbone.depth) == ("caffe", depth)
    assert (caffe.model.pixel_order, caffe.model.pixel_std) == ("bgr", (1, 1, 1))
    assert caffe.norm.kind == "frozen"
    assert (caffe.optimisation.num_epochs, caffe.optimisation.drop_epochs) == (12, (8, 11))


def test_detectron2_s_presets_have_its_colours_matching_and_clamp() -> None:
    model = spec_of("detectron2-mask-r50-fpn").model
    assert isinstance(model.backbone, ResNetBackboneSpec)
    assert isinstance(model.head, FasterRcnnSpec)
    assert (model.backbone.style, model.pixel_order, model.pixel_std) == ("caffe", "bgr", (1, 1, 1))
    rpn, roi_head = model.head.rpn, model.head.roi_head
    assert (rpn.anchor_area, rpn.low_quality_target, rpn.min_positive_iou) == ("canvas", "best", 0)
    assert (rpn.anchor_offset, rpn.allowed_border_pixels, rpn.num_train_proposals) == (0, None, 1000)
    assert rpn.box_clamp == roi_head.box_clamp == "enlarging"
    assert rpn.box_loss == roi_head.box_loss == BoxLossSpec(kind="l1")
    assert (roi_head.pool_aligned, roi_head.pool_sampling_ratio) == (True, 0)
    assert spec_of("detectron2-mask-r50-fpn").data.resize_filter == "antialias"


def test_mask_and_cascade_presets_have_the_conventions_of_their_faster_rcnn() -> None:
    for name, base in (("mmdet3-{}hrnet-w18", "mmdet3-hrnet-w18"), ("hrnet2019-{}w18", "hrnet2019-w18")):
        faster = spec_of(base)
        for kind in ("mask-", "cascade-"):
            spec = spec_of(name.format(kind))
            head, of_faster = spec.model.head, faster.model.head
            assert isinstance(head, FasterRcnnSpec | CascadeRcnnSpec)
            assert isinstance(of_faster, FasterRcnnSpec)
            for key in ("anchor_offset", "round_anchors", "anchor_area", "anchor_step", "anchor_scale"):
                assert getattr(head.rpn, key) == getattr(of_faster.rpn, key), (name, key)
            for key in ("pool_sampling_ratio", "pool_aligned", "score_threshold", "nms_iou"):
                assert getattr(head.roi_head, key) == getattr(of_faster.roi_head, key), (name, key)
            if head.masks is not None:
                assert head.masks.spec.pool_aligned == head.roi_head.pool_aligned
                assert head.masks.spec.pool_sampling_ratio == head.roi_head.pool_sampling_ratio
            assert spec.model.box_corners == faster.model.box_corners
            assert spec.data.resize_filter == faster.data.resize_filter


def test_the_padded_multi_scale_recipe_is_the_ancestors() -> None:
    spec = spec_of("hrnet-w18-mstrain-pad")
    assert spec.model.backbone == HRNetBackboneSpec(width="w18")
    assert isinstance(spec.norm, SyncBatchNormSpec)
    assert spec.data.batch_size_per_process == 4
    assert spec.augmentation == ResizeSpec(scales_pixels=((1600, 1000), (1000, 600), (1333, 800)))
    assert spec.augmentation.flip_probability == 0.5
    assert spec.padding == FixedPaddingSpec(policy="fixed", canvas_pixels=(1600, 1024))
    optimisation = spec.optimisation
    assert (optimisation.base_learning_rate, optimisation.base_batch_size) == (0.02, 16)
    assert (optimisation.weight_decay, optimisation.clip_norm) == (1e-4, 35)
    assert optimisation.optimiser == SgdSpec(momentum=0.9)
    assert optimisation.num_epochs == 12
    assert optimisation.schedule == StepScheduleSpec(drop_epochs=(8, 11), drop_factor=0.1)
    assert optimisation.warmup_steps == 500
    assert optimisation.warmup_factor == pytest.approx(1 / 3)
    assert spec.model.pixel_mean == (123.675, 116.28, 103.53)
    assert spec.model.pixel_std == (58.395, 57.12, 57.375)
    assert spec.evaluation.scale_pixels == (1333, 800)


def test_the_heads_recipe_is_the_ancestors() -> None:
    head = spec_of("hrnet-w18").model.head
    assert isinstance(head, FasterRcnnSpec)
    rpn, roi_head = head.rpn, head.roi_head
    assert (rpn.anchor_scale, rpn.anchor_aspect_ratios) == (8, (0.5, 1.0, 2.0))
    assert (rpn.positive_iou, rpn.negative_iou, rpn.num_samples, rpn.positive_fraction) == (
        0.7,
        0.3,
        256,
        0.5,
    )
    assert rpn.box_loss == BoxLossSpec(kind="smooth_l1", beta=1 / 9)
    assert (rpn.nms_iou, rpn.num_train_proposals) == (0.7, 2000)
    assert (roi_head.positive_iou, roi_head.num_samples, roi_head.positive_fraction) == (0.5, 512, 0.25)
    assert roi_head.box_loss == BoxLossSpec(kind="smooth_l1", beta=1.0)
    assert (roi_head.box_stds, roi_head.hidden_features) == ((0.1, 0.1, 0.2, 0.2), 1024)
    assert (roi_head.score_threshold, roi_head.nms_iou, roi_head.max_detections) == (0.05, 0.5, 100)


@pytest.mark.parametrize(
    "name", ["hrnet-w18", "hrnet-w18-2x", "hrnet-w32", "hrnet-w32-2x", "hrnet-w40", "hrnet-w40-2x"]
)
def test_plain_presets_keep_the_imagenet_statistics_at_one_scale_without_canvas(name: str) -> None:
    spec = spec_of(name)
    assert spec.norm == BatchNormSpec(keep_statistics=True)
    assert spec.augmentation == ResizeSpec(scales_pixels=((1333, 800),))
    assert spec.padding.policy == "batch"


@pytest.mark.parametrize(
    ("name", "num_epochs", "drop_epochs", "base_learning_rate", "base_batch_size"),
    [
        ("hrnet-w18", 12, (8, 11), 0.02, 16),
        ("hrnet-w18-2x", 24, (20, 23), 0.01, 8),
        ("hrnet-w18-mstrain-pad-2x", 24, (20, 23), 0.02, 16),
        ("hrnet-w18-randresizecrop-2x", 24, (20, 23), 0.02, 16),
        ("hrnet-w32", 12, (8, 11), 0.02, 16),
        ("hrnet-w32-2x", 24, (20, 23), 0.01, 8),
        ("hrnet-w32-mstrain-pad-2x", 24, (20, 23), 0.02, 16),
        ("hrnet-w32-mstrain-pad-3x", 36, (32, 33), 0.02, 16),
        ("hrnet-w40", 12, (8, 11), 0.01, 8),
        ("hrnet-w40-2x", 24, (20, 23), 0.01, 8),
    ],
)
def test_schedules_are_the_ancestors(
    name: str, num_epochs: int, drop_epochs: tuple[int, ...], base_learning_rate: float, base_batch_size: int
) -> None:
    optimisation = spec_of(name).optimisation
    assert (optimisation.num_epochs, optimisation.drop_epochs) == (num_epochs, drop_epochs)
    assert (optimisation.base_learning_rate, optimisation.base_batch_size) == (
        base_learning_rate,
        base_batch_size,
    )


def test_syncbn_alone_changes_nothing_but_the_norm() -> None:
    plain, synced = spec_of("hrnet-w18"), spec_of("hrnet-w18-syncbn")
    changed = {"name": plain.name, "description": plain.description, "norm": plain.norm}
    assert synced.model_copy(update=changed) == plain


def test_w32_runs_two_pictures_a_gpu_with_activation_checkpointing() -> None:
    spec = spec_of("hrnet-w32-mstrain-pad")
    assert spec.data.batch_size_per_process == 2
    assert spec.model.activation_checkpointing == "modules"


def test_the_continuous_recipe_draws_between_two_scales() -> None:
    assert spec_of("hrnet-w18-mstrain-continuous-pad").augmentation == ResizeSpec(
        scales_pixels=((1600, 600), (1600, 1000)), scale_mode="range"
    )


def test_the_resize_and_crop_recipe_is_simpledets() -> None:
    spec = spec_of("hrnet-w18-randresizecrop")
    assert spec.augmentation == ResizeCropSpec(
        kind="resize-crop", scales_pixels=((1400, 600), (1400, 800), (1400, 1000)), crop_pixels=(1200, 800)
    )
    assert spec.padding == FixedPaddingSpec(policy="fixed", canvas_pixels=(1216, 800))
    assert spec.data.batch_size_per_process == 2


def test_the_recipe_for_fine_tuning_changes_how_the_detector_of_mmdetection_trains_but_not_what_it_is() -> (
    None
):
    base, tuned = spec_of("mmdet3-hrnet-w18"), spec_of("finetune-w18")
    assert tuned.norm == BatchNormSpec(keep_statistics=True)
    assert tuned.model.backbone == HRNetBackboneSpec(width="w18", frozen_stages=1)
    unchanged = {"backbone": base.model.backbone, "weights": base.model.weights}
    assert tuned.model.model_copy(update=unchanged) == base.model
    assert tuned.data == base.data
    optimisation = tuned.optimisation
    assert optimisation.parameter_groups == ParameterGroupsSpec(
        backbone=BackboneGroupSpec(learning_rate_factor=0.1)
    )
    assert optimisation.ema == EmaSpec(decay=0.998)
    assert (optimisation.num_epochs, optimisation.drop_epochs) == (8, (6,))
    assert optimisation.base_learning_rate == base.optimisation.base_learning_rate / 2


def test_the_recipe_for_few_pictures_is_that_for_fine_tuning_with_an_early_end() -> None:
    base, few = spec_of("finetune-w18"), spec_of("small-data")
    assert few.model == base.model
    assert few.norm == base.norm
    assert few.data.sampling.kind == "class-aware"
    assert few.evaluation.patience == 10
    assert few.optimisation.parameter_groups.backbone == base.optimisation.parameter_groups.backbone
    assert few.optimisation.parameter_groups.norm.weight_decay_factor == 0


def test_the_recipe_with_large_scale_jitter_is_detectron2_s() -> None:
    """``configs/new_baselines/mask_rcnn_R_50_FPN_100ep_LSJ.py`` and the optimiser of ``configs/common``."""
    optimisation = spec_of("lsj-w18").optimisation
    assert (optimisation.base_learning_rate, optimisation.base_batch_size) == (0.1, 64)
    assert optimisation.optimiser == SgdSpec(momentum=0.9)
    assert optimisation.weight_decay == 4e-5
    assert optimisation.parameter_groups == ParameterGroupsSpec(
        norm=ParameterGroupSpec(weight_decay_factor=0)
    )
    assert (optimisation.warmup_steps, optimisation.warmup_factor) == (500, 0.067)
    num_steps = 184375
    drops = [round(100 * step / num_steps) for step in (163889, 177546)]
    assert (optimisation.num_epochs, [*optimisation.drop_epochs]) == (100, drops)
    for name in ("lsj-w32", "lsj-w40", "lsj-cascade-mask-w48"):
        assert spec_of(name).optimisation == optimisation


@pytest.mark.parametrize("name", ["r50-fpn-syncbn", "r50-fpn-mstrain-pad"])
def test_resnet_presets_freeze_stem_and_stage_one(name: str) -> None:
    assert spec_of(name).model.backbone == ResNetBackboneSpec(kind="resnet", depth=50, frozen_stages=1)
    assert isinstance(spec_of(name).norm, SyncBatchNormSpec)


@pytest.mark.parametrize(
    ("batch_size", "scaling", "expected"), [(16, "linear", 0.02), (4, "linear", 0.005), (4, "none", 0.02)]
)
def test_the_linear_rule_scales_the_rate_with_the_batch(
    batch_size: int, scaling: str, expected: float
) -> None:
    setting = f"optimisation.learning_rate_scaling={scaling}"
    optimisation = load_spec(preset="hrnet-w18", settings=[setting]).spec.optimisation
    assert optimisation.learning_rate_for(batch_size) == pytest.approx(expected)


def test_an_unknown_preset_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(SpecError, match="there is no preset 'hrnet-w18-mstrain'; did you mean"):
        load_spec(preset="hrnet-w18-mstrain")


def test_an_installed_package_finds_the_presets_bundled_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "hrdet_cli"
    (package / "bundled_presets").mkdir(parents=True)
    monkeypatch.setattr("hrdet_cli.specs.presets.__file__", str(package / "specs" / "presets.py"))
    assert presets_folder() == package / "bundled_presets"
