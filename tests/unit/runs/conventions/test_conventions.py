from collections.abc import Mapping

import pytest
import torch

from hrdet_cli.engine.weights.backbones import Backbone
from hrdet_cli.engine.weights.naming.caffe2 import CAFFE2
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.engine.weights.naming.detectron2 import DETECTRON2
from hrdet_cli.engine.weights.naming.hrdet import HRDET
from hrdet_cli.engine.weights.naming.imagenet import IMAGENET
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from hrdet_cli.engine.weights.reading import WeightsFile
from hrdet_cli.runs.conventions.conventions import contradictions, preset_for, unlike_mmdetection
from hrdet_cli.runs.conventions.presets import contents_of_model
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import all_presets

CAFFE_2 = """
img_norm_cfg = dict(
    mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
model = dict(type='Detector', backbone=dict(
        type='ResNet', depth=50, norm_cfg=dict(type='BN', requires_grad=False), style='caffe'))
"""
CAFFE_3 = """
model = dict(
    backbone=dict(depth=50, style="caffe", type='ResNet'),
    data_preprocessor=dict(
        bgr_to_rgb=False,
        mean=[
            103.53,
            116.28,
            123.675,
        ],
        std=[
            1.0,
            1.0,
            1.0,
        ]))
"""
PYTORCH_2 = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
model = dict(backbone=dict(type='ResNet', depth=50, style='pytorch'))
"""
HRNET_2 = PYTORCH_2.replace(", style='pytorch'", "").replace("ResNet", "HRNet")
R50, R101, W18, W24, W48 = (
    Backbone("resnet", "50"),
    Backbone("resnet", "101"),
    Backbone("hrnet", "w18"),
    Backbone("hrnet", "w24"),
    Backbone("hrnet", "w48"),
)


def alone(backbone: Backbone | None) -> Contents:
    return Contents(backbone, head=None)


def faster(backbone: Backbone | None) -> Contents:
    return Contents(backbone, head="faster_rcnn")


def weights(source: str = "epoch_12.pth", config: str | None = None) -> WeightsFile:
    return WeightsFile(source, {}, None, config, None)


def test_values_that_mmdetection_has_otherwise_are_listed() -> None:
    spec = load_spec(preset="torchvision-r50-fpn", settings=["model.pixel_order=bgr"]).spec
    assert list(unlike_mmdetection(spec)) == [
        "model.head.rpn.round_anchors true (there false)",
        "model.head.rpn.anchor_step canvas (there stride)",
        "model.head.roi_head.pool_sampling_ratio 2 (there 0)",
        "model.head.roi_head.pool_aligned false (there true)",
        "model.pixel_order bgr (there rgb)",
        "norm.epsilon 0.0 (there 1e-05)",
    ]
    assert list(unlike_mmdetection(load_spec(preset="mmdet3-r50-fpn").spec)) == []
    assert list(unlike_mmdetection(load_spec(preset="mmdet3-fcos-r50-caffe-fpn").spec)) == []
    settings = ["model.neck.interpolation=nearest", "model.neck.pooling=max"]
    assert list(unlike_mmdetection(load_spec(preset="mmdet3-hrnet-w18", settings=settings).spec)) == [
        "model.neck.interpolation nearest (there bilinear)",
        "model.neck.pooling max (there average)",
    ]
    other_pixels = load_spec(preset="mmdet3-hrnet-w18", settings=["model.pixel_std=[1, 1, 1]"]).spec
    assert list(unlike_mmdetection(other_pixels)) == [
        "model.pixel_std [1.0, 1.0, 1.0] (there [58.395, 57.12, 57.375])"
    ]


@pytest.mark.parametrize("config", [CAFFE_2, CAFFE_3], ids=["mmdetection 2", "mmdetection 3"])
def test_a_caffe_detector_in_a_pytorch_preset_is_told_with_the_right_preset(config: str) -> None:
    model = load_spec(preset="mmdet3-r50-fpn").spec.model
    assert list(contradictions(weights(config=config), MMDETECTION, faster(R50), model)) == [
        "weights epoch_12.pth were trained with model.backbone.style caffe, not pytorch, model.pixel_order "
        "bgr, not rgb, model.pixel_std [1.0, 1.0, 1.0], not [58.395, 57.12, 57.375]: results will be poor; "
        "preset mmdet3-r50-caffe-fpn has their conventions"
    ]


FCOS = """
model = dict(backbone=dict(type='HRNet'), bbox_head=dict(type='FCOSHead'%s), data_preprocessor=dict(
    bgr_to_rgb=False, std=[57.375, 57.12, 58.395]))
"""


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", []),
        (
            ", norm_on_bbox=True, centerness_on_reg=True",
            [
                "model.head.distances strides, not exponential",
                "model.head.centreness_from boxes, not classes",
            ],
        ),
    ],
    ids=["published", "later"],
)
def test_fcos_s_configuration_tells_what_its_tensors_do_not(options: str, told: list[str]) -> None:
    model = load_spec(preset="mmdet3-fcos-hrnet-w18").spec.model
    of_fcos = contents_of_model(model)
    sentences = list(contradictions(weights(config=FCOS % options), MMDETECTION, of_fcos, model))
    assert len(sentences) == bool(told)
    assert all(words in sentences[0] for words in told)


def test_no_preset_is_named_where_none_has_what_the_file_says() -> None:
    mask_r_cnn = Contents(R50, "faster_rcnn", has_masks=True)
    odd = CAFFE_3.replace("1.0,", "7.0,")
    model = load_spec(preset="mmdet3-mask-r50-fpn").spec.model
    (sentence,) = contradictions(weights(config=odd), MMDETECTION, mask_r_cnn, model)
    assert sentence.endswith(
        "model.pixel_std [7.0, 7.0, 7.0], not [58.395, 57.12, 57.375]: results will be poor"
    )


AGREEING: Mapping[str, tuple[WeightsFile, Backbone, str]] = {
    "caffe, mmdetection 2": (weights(config=CAFFE_2), R50, "mmdet3-r50-caffe-fpn"),
    "caffe, mmdetection 3": (weights(config=CAFFE_3), R101, "mmdet3-r101-caffe-fpn"),
    "pytorch": (weights(config=PYTORCH_2), R50, "mmdet3-r50-fpn"),
    "HRNet": (weights(config=HRNET_2), W18, "mmdet3-hrnet-w18"),
    "no configuration": (weights(), R50, "mmdet3-r50-caffe-fpn"),
    "no sense": (weights(config="std=[1, -, 3] style='unknown' to_rgb=Maybe"), R50, "mmdet3-r50-fpn"),
    "caffe by name": (weights("weights/resnet50_msra-5891d200.pth"), R50, "mmdet3-r50-caffe-fpn"),
    "a folder called caffe": (weights("caffe/resnet50-0676ba61.pth"), R50, "mmdet3-r50-fpn"),
}


@pytest.mark.parametrize(("file", "backbone", "preset"), AGREEING.values(), ids=AGREEING)
def test_files_that_agree_or_say_nothing_are_not_complained_of(
    file: WeightsFile, backbone: Backbone, preset: str
) -> None:
    assert (
        list(contradictions(file, MMDETECTION, faster(backbone), load_spec(preset=preset).spec.model)) == []
    )


def test_caffe_weights_without_a_configuration_are_known_by_their_name() -> None:
    model = load_spec(preset="mmdet3-r101-fpn").spec.model
    (sentence,) = contradictions(weights("resnet101_msra-6cc46731.pth"), IMAGENET, alone(R101), model)
    assert sentence == (
        "weights resnet101_msra-6cc46731.pth were trained with model.backbone.style caffe, not pytorch, "
        "model.pixel_order bgr, not rgb: results will be poor; preset mmdet3-r101-caffe-fpn has their "
        "conventions"
    )


@pytest.mark.parametrize(
    ("mean", "std", "told"),
    [
        ([103.53, 116.28, 123.675], [1.0, 1.0, 1.0], ["style caffe", "pixel_order bgr", "pixel_std [1.0"]),
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375], []),
        ([103.53, 116.28, 123.675], [57.375, 57.12, 58.395], ["pixel_order bgr"]),
    ],
    ids=["MSRA's", "torchvision's", "FAIR's"],
)
def test_detectron2_s_constants_tell_its_pixels(mean: list[float], std: list[float], told: list[str]) -> None:
    constants = {"pixel_mean": torch.tensor(mean).view(3, 1, 1), "pixel_std": torch.tensor(std).view(3, 1, 1)}
    file = WeightsFile("model_final_b275ba.pkl", constants, None, None, None)
    sentences = list(
        contradictions(file, DETECTRON2, faster(R50), load_spec(preset="mmdet3-r50-fpn").spec.model)
    )
    assert len(sentences) == bool(told)
    assert all(f"model.{word}" in sentences[0] or f"model.backbone.{word}" in sentences[0] for word in told)


def test_detectron2_s_files_without_constants_are_told_the_pixels_of_its_presets() -> None:
    model = load_spec(preset="mmdet3-r50-fpn").spec.model
    assert list(contradictions(weights("model_final.pth"), DETECTRON2, faster(R50), model)) == [
        "weights model_final.pth are of detectron2, which has model.backbone.style caffe, not pytorch, "
        "model.pixel_order bgr, not rgb, model.pixel_std [1.0, 1.0, 1.0], not [58.395, 57.12, 57.375]: "
        "results may be poor; preset detectron2-r50-fpn has its conventions"
    ]
    own = load_spec(preset="detectron2-r50-fpn").spec.model
    assert not list(contradictions(weights("model_final.pth"), DETECTRON2, faster(R50), own))
    of_resnext = faster(Backbone("resnet", "x101-32x8d"))  # whose stride and divisors are not caffe's there
    assert not list(contradictions(weights("model_final.pth"), DETECTRON2, of_resnext, model))


@pytest.mark.parametrize("source", ["torchvision:resnet50", "timm:resnet50", "w/resnet50-0676ba61.pth"])
def test_torchvision_s_backbones_are_not_of_caffe_s_style(source: str) -> None:
    model = load_spec(preset="mmdet3-r50-caffe-fpn").spec.model
    assert list(contradictions(weights(source), IMAGENET, alone(R50), model)) == [
        f"weights {source} were trained with model.backbone.style pytorch, not caffe, model.pixel_order rgb, "
        "not bgr: results will be poor; preset r50-fpn-syncbn has their conventions"
    ]


def test_caffe2_s_backbones_are_of_caffe_s_style() -> None:
    model = load_spec(preset="r50-fpn-syncbn").spec.model
    (sentence,) = contradictions(weights("R-50.pkl"), CAFFE2, alone(R50), model)
    assert sentence.endswith("results will be poor; preset mmdet3-r50-caffe-fpn has their conventions")


def test_every_published_file_of_mmdetection_contradicts_the_other_style_only() -> None:
    told = {
        (preset, style): len(
            list(
                contradictions(
                    weights(config=config), MMDETECTION, faster(R50), load_spec(preset=preset).spec.model
                )
            )
        )
        for preset in ("mmdet3-r50-fpn", "mmdet3-r50-caffe-fpn")
        for style, config in (("pytorch", PYTORCH_2), ("caffe", CAFFE_2))
    }
    assert told == {
        ("mmdet3-r50-fpn", "pytorch"): 0,
        ("mmdet3-r50-fpn", "caffe"): 1,
        ("mmdet3-r50-caffe-fpn", "pytorch"): 1,
        ("mmdet3-r50-caffe-fpn", "caffe"): 0,
    }


REGION_HEADS = ("faster_rcnn", "cascade_rcnn")
PRESETS_BY_WRITER: Mapping[Writer, tuple[str, ...]] = {
    YEAR_2019: ("hrnet2019-",),
    MMDETECTION: ("mmdet3-", "finetune-", "small-data", "detectron2-"),  # whose boxes lie alike
    TORCHVISION: ("torchvision-",),
}


@pytest.mark.parametrize("writer", PRESETS_BY_WRITER, ids=lambda writer: writer.name)
def test_a_writer_s_weights_agree_with_the_presets_that_have_its_conventions_and_no_others(
    writer: Writer,
) -> None:
    models = {preset: load_spec(preset=preset).spec.model for preset in all_presets()}
    of_regions = {preset: model for preset, model in models.items() if model.head.kind in REGION_HEADS}
    for preset, model in of_regions.items():
        told = list(contradictions(weights(), writer, faster(R50), model))
        assert (told == []) == preset.startswith(PRESETS_BY_WRITER[writer]), preset


def test_a_writer_s_conventions_are_told_with_the_preset_that_has_them() -> None:
    of_mmdetection = load_spec(preset="mmdet3-hrnet-w18").spec.model
    assert list(contradictions(weights(), YEAR_2019, faster(W18), of_mmdetection)) == [
        "weights epoch_12.pth are of mmdetection 0.6 or 1 (2019), which has "
        "model.head.rpn.anchor_offset 0.5, not 0.0, model.head.rpn.round_anchors true, not false, "
        "model.head.roi_head.pool_sampling_ratio 2, not 0, model.head.roi_head.pool_aligned false, not true, "
        "model.box_corners inclusive, not exclusive: results may be poor; preset hrnet2019-w18 has its "
        "conventions"
    ]
    of_ours = load_spec(preset="hrnet-w18").spec.model
    assert list(contradictions(weights(), MMDETECTION, faster(W18), of_ours)) == [
        "weights epoch_12.pth are of mmdetection 2 or 3, which has "
        "model.head.roi_head.pool_sampling_ratio 0, not 2: results may be poor; preset mmdet3-hrnet-w18 has "
        "its conventions"
    ]


@pytest.mark.parametrize(
    ("writer", "contents"),
    [(IMAGENET, alone(R50)), (MMDETECTION, alone(R50)), (HRDET, faster(R50))],
    ids=["ImageNet", "mmdetection's backbone", "hrdet"],
)
def test_backbones_and_our_own_detectors_have_no_conventions_of_a_writer(
    writer: Writer, contents: Contents
) -> None:
    for preset in all_presets():
        assert not list(contradictions(weights(), writer, contents, load_spec(preset=preset).spec.model))


@pytest.mark.parametrize(
    ("writer", "contents", "file", "preset"),
    [
        (IMAGENET, alone(W18), weights(), "hrnet-w18"),
        (IMAGENET, alone(W48), weights(), "hrnet-w40 --set model.backbone.width=w48"),
        (IMAGENET, alone(W24), weights(), None),
        (IMAGENET, alone(R50), weights(), "r50-fpn-syncbn"),
        (IMAGENET, alone(R101), weights(), "mmdet3-r101-fpn"),
        (IMAGENET, alone(R50), weights("resnet50_caffe-788b5fa3.pth"), "mmdet3-r50-caffe-fpn"),
        (MMDETECTION, faster(W18), weights(config=HRNET_2), "mmdet3-hrnet-w18"),
        (MMDETECTION, faster(R50), weights(config=PYTORCH_2), "mmdet3-r50-fpn"),
        (MMDETECTION, faster(R101), weights(config=CAFFE_3), "mmdet3-r101-caffe-fpn"),
        (MMDETECTION, faster(R50), weights("faster_rcnn_r50_caffe_fpn_1x_coco.pth"), "mmdet3-r50-caffe-fpn"),
        (MMDETECTION, faster(W48), weights(), "mmdet3-hrnet-w18 --set model.backbone.width=w48"),
        (MMDETECTION, faster(W24), weights(), None),
        (
            MMDETECTION,
            faster(Backbone("resnet", "x101-32x4d-mdconv")),
            weights(),
            "mmdet3-r101-fpn --set model.backbone.cardinality=32 --set model.backbone.group_width=4 "
            "--set model.backbone.deformable.version=v2",
        ),
        (
            MMDETECTION,
            Contents(Backbone("resnet", "50-dconv"), "faster_rcnn", has_masks=True),
            weights("mask_rcnn_r50_caffe_fpn.pth"),
            "mmdet3-mask-r50-caffe-fpn --set model.backbone.deformable.version=v1",
        ),
        (DETECTRON2, faster(Backbone("resnet", "x101-32x8d")), weights(), None),
        (MMDETECTION, Contents(W18, "faster_rcnn", has_masks=True), weights(), "mmdet3-mask-hrnet-w18"),
        (MMDETECTION, Contents(W18, "cascade_rcnn"), weights(), "mmdet3-cascade-hrnet-w18"),
        (MMDETECTION, Contents(W18, "retinanet"), weights(), None),
        (MMDETECTION, Contents(R50, "retinanet"), weights(), "mmdet3-retinanet-r50-fpn"),
        (MMDETECTION, Contents(W18, "fcos", has_norms=True), weights(), "mmdet3-fcos-hrnet-w18"),
        (TORCHVISION, Contents(R50, "faster_rcnn", has_masks=True), weights(), "torchvision-mask-r50-fpn"),
        (CAFFE2, alone(R101), weights(), "mmdet3-r101-caffe-fpn"),
        (MMDETECTION, faster(None), weights(), None),
        (YEAR_2019, faster(W18), weights(), "hrnet2019-w18"),
        (YEAR_2019, faster(R50), weights(), "hrnet2019-r50-fpn"),
        (YEAR_2019, faster(R101), weights(), "hrnet2019-r50-fpn --set model.backbone.depth=101"),
        (TORCHVISION, faster(R50), weights(), "torchvision-r50-fpn"),
        (HRDET, faster(W18), weights(), None),
    ],
)
def test_the_likely_preset_is_that_of_the_writer_and_the_backbone(
    writer: Writer, contents: Contents, file: WeightsFile, preset: str | None
) -> None:
    found = preset_for(file, writer, contents)
    assert (None if found is None else str(found)) == preset
    assert found is None or contents_of_model(found.load().model).backbone == contents.backbone
