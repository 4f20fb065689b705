"""mmdetection's names become ours, and ours become mmdetection's and come back bit for bit."""

from collections.abc import Mapping

import pytest

from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION, to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from tests.mmdetection_shapes import BEHIND_THE_BACKBONE, Shape, conv_module, fcos_head, fpn, regions
from tests.state_dicts import numbered, ours_of, renamed

DETECTORS: Mapping[str, str] = {
    "hrnet/faster-rcnn_hrnetv2p-w18-1x_coco": "Faster R-CNN",
    "hrnet/mask-rcnn_hrnetv2p-w18-1x_coco": "Mask R-CNN",
    "hrnet/cascade-rcnn_hrnetv2p-w18-20e_coco": "Cascade R-CNN",
    "hrnet/cascade-mask-rcnn_hrnetv2p-w18_20e_coco": "Cascade Mask R-CNN",
    "hrnet/htc_hrnetv2p-w18_20e_coco": "HTC",
    "htc/htc-without-semantic_r50_fpn_1x_coco": "HTC without its semantic branch",
    "hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco": "FCOS",
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco": "Faster R-CNN",
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco": "Mask R-CNN",
    "retinanet/retinanet_r50_fpn_1x_coco": "RetinaNet",
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco": "FCOS",
    "rpn/rpn_r50_fpn_1x_coco": "region proposal network",
}
"""What a configuration builds."""
OUR_PARTS = {"neck", "rpn", "roi_head", "mask_head", "semantic_head", "retina_head", "fcos_head"}
OURS: Mapping[str, tuple[str, ...]] = {
    "hrnet/faster-rcnn_hrnetv2p-w18-1x_coco": ("mmdet3-hrnet-w18",),
    "hrnet/mask-rcnn_hrnetv2p-w18-1x_coco": ("mmdet3-hrnet-w18", "model.head.mask={}"),
    "faster_rcnn/faster-rcnn_r50_fpn_1x_coco": ("mmdet3-r50-fpn",),
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco": ("mmdet3-r101-fpn", "model.head.mask={}"),
    "hrnet/cascade-rcnn_hrnetv2p-w18-20e_coco": ("mmdet3-cascade-hrnet-w18",),
    "hrnet/cascade-mask-rcnn_hrnetv2p-w18_20e_coco": ("mmdet3-cascade-mask-hrnet-w18",),
    "htc/htc-without-semantic_r50_fpn_1x_coco": ("mmdet3-cascade-r50-fpn", "model.head.mask={flow: true}"),
    "rpn/rpn_r50_fpn_1x_coco": ("mmdet3-r50-fpn", "model.head.kind=rpn"),
    "retinanet/retinanet_r50_fpn_1x_coco": ("mmdet3-retinanet-r50-fpn",),
    "hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco": ("mmdet3-fcos-hrnet-w18",),
    "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco": (
        *("mmdet3-r50-caffe-fpn", "model.head.kind=fcos"),
        "model.neck.coarse_from=neck",
    ),
}
"""The preset of a configuration, and what has to be set on top."""


@pytest.mark.parametrize("config", OURS)
def test_names_and_shapes_behind_the_backbone_are_mmdetection_s(config: str) -> None:
    theirs = to_mmdetection(ours_of(*OURS[config]))
    behind = {key: tuple(tensor.shape) for key, tensor in theirs.items() if not key.startswith("backbone.")}
    assert behind == BEHIND_THE_BACKBONE[config]


@pytest.mark.parametrize("config", OURS)
def test_the_way_to_mmdetection_and_back_changes_no_bit(config: str) -> None:
    ours = ours_of(*OURS[config])
    theirs = to_mmdetection(ours)
    assert recognise(theirs)[0] == MMDETECTION
    back = to_ours(theirs, MMDETECTION)
    assert back.keys() == ours.keys()
    assert all(back[key] is tensor for key, tensor in ours.items())


@pytest.mark.parametrize(("config", "name"), DETECTORS.items(), ids=DETECTORS)
def test_a_detector_is_told_by_its_names_and_comes_back_under_them(config: str, name: str) -> None:
    theirs = numbered(BEHIND_THE_BACKBONE[config])
    writer, contents = recognise(theirs)
    assert describe_weights(writer, contents) == f"{name} of mmdetection 2 or 3"
    ours = to_ours(theirs, writer)
    assert len(ours) == len(theirs)
    assert {key.partition(".")[0] for key in ours} <= OUR_PARTS
    back = to_mmdetection(ours)
    assert back.keys() == theirs.keys()
    assert all(back[key] is tensor for key, tensor in theirs.items())


LAYERS: Mapping[str, Mapping[str, str]] = {
    "hrnet/htc_hrnetv2p-w18_20e_coco": {
        "neck.reduction_conv.conv": "neck.reduction_conv",
        "neck.fpn_convs.4.conv": "neck.fpn_convs.4",
        "rpn_head.rpn_conv": "rpn.conv",
        "rpn_head.rpn_cls": "rpn.objectness",
        "rpn_head.rpn_reg": "rpn.deltas",
        "roi_head.bbox_head.0.shared_fcs.0": "roi_head.stages.0.fc1",
        "roi_head.bbox_head.1.shared_fcs.1": "roi_head.stages.1.fc2",
        "roi_head.bbox_head.2.fc_cls": "roi_head.stages.2.classifier",
        "roi_head.bbox_head.2.fc_reg": "roi_head.stages.2.regressor",
        "roi_head.mask_head.0.convs.3.conv": "mask_head.stages.0.convs.3",
        "roi_head.mask_head.1.conv_res.conv": "mask_head.stages.1.conv_res",
        "roi_head.mask_head.2.upsample": "mask_head.stages.2.upsample",
        "roi_head.mask_head.2.conv_logits": "mask_head.stages.2.logits",
        "roi_head.semantic_head.lateral_convs.4.conv": "semantic_head.laterals.4",
        "roi_head.semantic_head.convs.3.conv": "semantic_head.convs.3",
        "roi_head.semantic_head.conv_embedding.conv": "semantic_head.embedding",
        "roi_head.semantic_head.conv_logits": "semantic_head.logits",
    },
    "mask_rcnn/mask-rcnn_r50_fpn_1x_coco": {
        "neck.lateral_convs.3.conv": "neck.pyramid.inner_blocks.3.0",
        "neck.fpn_convs.3.conv": "neck.pyramid.layer_blocks.3.0",
        "roi_head.bbox_head.shared_fcs.0": "roi_head.fc1",
        "roi_head.bbox_head.fc_cls": "roi_head.classifier",
        "roi_head.mask_head.convs.0.conv": "mask_head.convs.0",
        "roi_head.mask_head.upsample": "mask_head.upsample",
        "roi_head.mask_head.conv_logits": "mask_head.logits",
    },
    "retinanet/retinanet_r50_fpn_1x_coco": {
        "neck.lateral_convs.2.conv": "neck.pyramid.inner_blocks.2.0",
        "neck.fpn_convs.2.conv": "neck.pyramid.layer_blocks.2.0",
        "neck.fpn_convs.3.conv": "neck.pyramid.extra_blocks.p6",
        "neck.fpn_convs.4.conv": "neck.pyramid.extra_blocks.p7",
        "bbox_head.cls_convs.3.conv": "retina_head.class_convs.3",
        "bbox_head.reg_convs.0.conv": "retina_head.box_convs.0",
        "bbox_head.retina_cls": "retina_head.class_logits",
        "bbox_head.retina_reg": "retina_head.deltas",
    },
    "hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco": {
        "bbox_head.cls_convs.3.conv": "fcos_head.class_convs.3",
        "bbox_head.reg_convs.3.gn": "fcos_head.box_convs.3.norm",
        "bbox_head.conv_cls": "fcos_head.class_logits",
        "bbox_head.conv_reg": "fcos_head.distances",
        "bbox_head.conv_centerness": "fcos_head.centreness",
    },
    "rpn/rpn_r50_fpn_1x_coco": {"bbox_head.rpn_conv": "rpn.conv", "bbox_head.rpn_cls": "rpn.objectness"},
}


@pytest.mark.parametrize("config", LAYERS)
def test_a_layer_of_theirs_is_one_of_ours(config: str) -> None:
    theirs = numbered(BEHIND_THE_BACKBONE[config])
    ours = to_ours(theirs, MMDETECTION)
    for their_name, our_name in LAYERS[config].items():
        assert ours[f"{our_name}.weight"] is theirs[f"{their_name}.weight"]
    if "fcos" in config:
        assert ours["fcos_head.scales.4"] is theirs["bbox_head.scales.4.scale"]


def test_older_names_of_one_stage_heads_mean_the_same() -> None:
    retina = numbered(BEHIND_THE_BACKBONE["retinanet/retinanet_r50_fpn_1x_coco"])
    bare = {
        key.replace(".conv.", ".")
        if key.startswith(("bbox_head.cls_convs", "bbox_head.reg_convs"))
        else key: value
        for key, value in retina.items()
    }
    assert "bbox_head.cls_convs.0.weight" in bare
    assert to_ours(bare, MMDETECTION) == to_ours(retina, MMDETECTION)
    names = [to_ours(numbered(fcos_head(prefix=prefix)), MMDETECTION).keys() for prefix in ("conv", "fcos")]
    assert names[0] == names[1]


@pytest.mark.parametrize(("norm", "num_more"), [("bn", 5), ("gn", 2)])
def test_norms_of_necks_and_heads_come_back_as_what_they_were(norm: str, num_more: int) -> None:
    shapes: dict[str, Shape] = {
        **fpn(256, 512, 1024, 2048, norm=norm),
        **regions(),
        **conv_module("roi_head.mask_head.convs.0", 256, 256, 3, 3, norm=norm),
        **conv_module("roi_head.bbox_head.shared_convs.3", 256, 256, 3, 3, norm=norm),
    }
    theirs = numbered(shapes)
    ours = to_ours(theirs, MMDETECTION)
    for name in ("neck.pyramid.inner_blocks.0.1", "mask_head.convs.0.norm", "roi_head.convs.3.norm"):
        assert len([key for key in ours if key.startswith(f"{name}.")]) == num_more
    assert "neck.pyramid.layer_blocks.2.0.weight" in ours
    assert to_mmdetection(ours) == theirs


def test_group_norms_of_backbones_are_called_by_their_kind_there() -> None:
    ours = numbered(
        {
            "backbone.bn1.weight": (64,),
            "backbone.layer2.0.bn3.bias": (8,),
            "backbone.layer2.0.downsample.1.bias": (8,),
            "backbone.stage3.3.branches.2.1.bn2.weight": (8,),
            "backbone.stage2.0.branches.0.0.bn1.weight": (8,),
            "backbone.stage2.0.branches.0.0.bn1.running_mean": (8,),
        }
    )
    theirs = to_mmdetection(ours)
    assert list(theirs) == [
        "backbone.gn1.weight",
        "backbone.layer2.0.gn3.bias",
        "backbone.layer2.0.downsample.1.bias",
        "backbone.stage3.3.branches.2.1.gn2.weight",
        "backbone.stage2.0.branches.0.0.bn1.weight",
        "backbone.stage2.0.branches.0.0.bn1.running_mean",
    ]
    assert to_ours(theirs, MMDETECTION) == ours


def test_deformable_convolutions_have_one_name_and_had_another() -> None:
    names = {
        "backbone.layer2.0.conv2.weight": (8,),
        "backbone.layer2.0.conv2.conv_offset.weight": (18, 8, 3, 3),
    }
    ours = numbered(names)
    assert to_mmdetection(ours) == to_ours(ours, MMDETECTION) == ours
    assert to_ours(renamed(ours, ("conv2.conv_offset", "conv2_offset")), MMDETECTION) == ours


def test_what_has_no_counterpart_stays_under_its_name() -> None:
    theirs = numbered(
        {**regions(), "roi_head.mask_iou_head.fc_mask_iou.bias": (80,), "neck.pafpn_convs.0.conv.bias": (9,)}
    )
    left_over = to_ours(theirs, MMDETECTION).keys() & theirs.keys()
    assert left_over == {"roi_head.mask_iou_head.fc_mask_iou.bias", "neck.pafpn_convs.0.conv.bias"}
