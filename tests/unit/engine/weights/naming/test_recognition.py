"""Who wrote weights and what is in them is told by names and shapes, and what is none of ours is refused."""

import pytest
import torch
import torchvision

from hrdet_cli.engine.weights.naming.hrdet import HRDET
from hrdet_cli.engine.weights.naming.imagenet import IMAGENET
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.errors import WeightsError
from tests.state_dicts import ours_of, shapes_of

KNOWN = (
    "Known are HRNetV2 and ResNet backbones, and Faster, Mask and Cascade R-CNN, HTC, RetinaNet, FCOS and "
    "region proposal networks on them, of mmdetection, HRNet-Object-Detection (2019), torchvision, "
    "detectron2 and hrdet."
)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize(
    ("name", "described"), [("hrnet_w32", "HRNetV2-W32 backbone"), ("resnet101", "ResNet-101 backbone")]
)
def test_a_backbone_s_file_becomes_the_backbone_s_part(name: str, described: str, prefix: str) -> None:
    import timm

    is_hrnet = name == "hrnet_w32"
    with torch.device("meta"):
        network = timm.create_model(name) if is_hrnet else torchvision.models.resnet101()
    theirs = {f"{prefix}{key}": tensor for key, tensor in network.state_dict().items()}
    writer, contents = recognise(theirs)
    assert (writer, describe_weights(writer, contents)) == (IMAGENET, described)
    got = to_ours(theirs, writer)
    preset = "mmdet3-hrnet-w32" if is_hrnet else "mmdet3-r101-fpn"
    wanted = {key: shape for key, shape in shapes_of(preset).items() if key.startswith("backbone.")}
    assert wanted.items() <= {key: tensor.shape for key, tensor in got.items()}.items()
    surplus = {key.split(".")[1] for key in got.keys() - wanted.keys()}
    assert surplus == (
        {"incre_modules", "downsamp_modules", "final_layer", "classifier"} if is_hrnet else {"fc"}
    )


def test_our_own_names_stay() -> None:
    ours = ours_of("hrnet-w18")
    assert recognise(ours)[0] == HRDET
    assert to_ours(ours, HRDET) == ours


@pytest.mark.parametrize(
    "keys",
    [
        ["conv1.weight", "fc.weight"],
        ["rpn_head.conv.weight", "neck.weight", "backbone.layer4.0.conv3.weight"],
    ],
    ids=["no network at all", "the keys behind the backbone"],
)
def test_other_networks_are_refused_with_what_is_known(keys: list[str]) -> None:
    with pytest.raises(WeightsError) as caught:
        recognise({key: torch.zeros(()) for key in keys})
    assert str(caught.value) == (
        f"these weights are of no family that hrdet knows: their {len(keys)} tensors are called {keys[0]}, "
        f"{keys[1]} "
        f"and so on. {KNOWN}"
    )


C4 = "a detector whose regions go through the backbone's last stage (C4)"
OTHER_HEADS = {
    # By names of mmdetection 3.3's models, a configuration for each.
    "bbox_head.atss_cls.weight": "ATSS or PAA",
    "bbox_head.atss_iou.weight": "DDOD",
    "bbox_head.gfl_cls.weight": "GFL",
    "bbox_head.vfnet_cls.weight": "VFNet",
    "bbox_head.tood_reg.bias": "TOOD",
    "bbox_head.reppoints_cls_out.weight": "RepPoints",
    "bbox_head.retina_bbox_reg.weight": "SABL RetinaNet",
    "bbox_head.center_prior.mean": "AutoAssign",
    "bbox_head.controller.weight": "CondInst",
    "bbox_head.conv_coeff.weight": "YOLACT",
    "bbox_head.multi_level_conv_cls.0.weight": "YOLOX",
    "bbox_head.rtm_cls.0.weight": "RTMDet",
    "bbox_head.convs_pred.0.weight": "YOLOv3",
    "bbox_head.object_pred.weight": "YOLOF",
    "bbox_head.tl_heat.0.0.conv.weight": "CornerNet",
    "bbox_head.cls_convs.0.0.weight": "SSD, or a head with norms of its own for each level",
    "bbox_head.conv_loc.weight": "guided anchoring",
    "rpn_head.conv_shape.weight": "guided anchoring",
    "rpn_head.stages.0.rpn_conv.conv.weight": "Cascade RPN",
    "rpn_head.init_proposal_bboxes.weight": "Sparse R-CNN or QueryInst",
    "neck.rfp_modules.0.conv1.weight": "DetectoRS",
    "mask_head.mask_convs.0.conv.weight": "SOLO",
    "mask_head.kernel_convs.0.conv.weight": "SOLO",
    "panoptic_head.cls_embed.weight": "MaskFormer or Mask2Former",
    "decoder.layers.0.norms.0.weight": "DETR or one of its successors",
    "bbox_head.transformer.decoder.layers.0.norms.0.weight": "DETR or one of its successors",
    "roi_head.grid_head.convs.0.conv.weight": "Grid R-CNN",
    "roi_head.glbctx_head.fc.weight": "SCNet",
    "roi_head.bbox_head.conv_branch.0.conv1.weight": "Double-Head R-CNN",
    "roi_head.bbox_head.reg_pre_convs.0.conv.weight": "SABL",
    "roi_head.bbox_head.0.reg_pre_convs.0.conv.weight": "SABL",
    "roi_head.bbox_head.fc_cls.0.weight": "CrowdDet",
    "roi_head.shared_head.layer4.0.conv1.weight": C4,
    # By detectron2's and torchvision's.
    "roi_heads.res5.0.conv1.weight": C4,
    "head.ctrness.weight": "detectron2's FCOS",
    "sem_seg_head.p2.0.weight": "a semantic or panoptic segmenter",
    "head.classification_head.module_list.0.weight": "SSD",
}


@pytest.mark.parametrize(("key", "name"), OTHER_HEADS.items(), ids=OTHER_HEADS)
def test_detectors_with_other_heads_are_refused_by_name(key: str, name: str) -> None:
    others = ("backbone.layer4.0.conv3.weight", "rpn_head.rpn_cls.weight", "roi_head.bbox_head.fc_cls.weight")
    with pytest.raises(WeightsError) as caught:
        recognise(dict.fromkeys([key, *others], torch.zeros(())))
    assert str(caught.value) == f"these weights are of {name}, for which hrdet has no head. {KNOWN}"


def test_detectors_with_unknown_heads_are_refused_with_the_names_of_their_layers() -> None:
    keys = ["bbox_head.conv_cls.weight", "bbox_head.conv_reg.weight", "neck.lateral_convs.0.conv.weight"]
    with pytest.raises(WeightsError) as caught:
        recognise({key: torch.zeros(()) for key in ("backbone.layer4.0.conv3.weight", *keys)}, source="w.pth")
    assert str(caught.value) == (
        "weights w.pth: these weights are of another detector, for which hrdet has no head: the 2 tensors of "
        f"its own are called bbox_head.conv_cls.weight, bbox_head.conv_reg.weight and so on. {KNOWN}"
    )


def test_the_file_is_named_whose_weights_nobody_knows() -> None:
    with pytest.raises(WeightsError, match=r"^weights w\.pth: these weights are of no family"):
        recognise({"x": torch.zeros(())}, source="w.pth")
