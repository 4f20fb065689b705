"""torchvision's detectors, as the installed torchvision builds them, become ours."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import detection

from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.errors import WeightsError
from tests.state_dicts import State, shapes_in, shapes_of


def state_of(build: Callable[..., nn.Module]) -> State:
    with torch.device("meta"):
        detector = build(weights=None, weights_backbone=None)
    return dict(detector.state_dict())


def test_the_detector_has_all_that_ours_needs() -> None:
    theirs = state_of(detection.fasterrcnn_resnet50_fpn)
    assert recognise(theirs)[0] == TORCHVISION
    got = to_ours(theirs, TORCHVISION)
    assert shapes_in(got) == shapes_of("torchvision-r50-fpn", num_classes=90)


VERSION_2 = {
    "Faster R-CNN": detection.fasterrcnn_resnet50_fpn_v2,
    "Mask R-CNN": detection.maskrcnn_resnet50_fpn_v2,
    "RetinaNet": detection.retinanet_resnet50_fpn_v2,
}


@pytest.mark.parametrize("name", VERSION_2)
def test_a_detector_of_version_2_has_our_names_only(name: str) -> None:
    theirs = state_of(VERSION_2[name])
    writer, contents = recognise(theirs)
    assert describe_weights(writer, contents) == f"{name} of torchvision"
    assert contents.has_norms
    got = to_ours(theirs, writer)
    assert len(got) == len(theirs)
    assert not [key for key in got if key in theirs and key.partition(".")[0] != "rpn"]
    assert num_classes_of(got) == 90


def test_convolutions_and_norms_of_version_2_are_in_their_places() -> None:
    theirs = state_of(detection.maskrcnn_resnet50_fpn_v2)
    ours = to_ours(theirs, TORCHVISION)
    for their_name, our_name in {
        "backbone.fpn.inner_blocks.3.0": "neck.pyramid.inner_blocks.3.0",
        "backbone.fpn.layer_blocks.3.1": "neck.pyramid.layer_blocks.3.1",
        "rpn.head.conv.1.0": "rpn.conv.1",
        "roi_heads.box_head.0.0": "roi_head.convs.0",
        "roi_heads.box_head.3.1": "roi_head.convs.3.norm",
        "roi_heads.box_head.5": "roi_head.fc1",
        "roi_heads.mask_head.2.0": "mask_head.convs.2",
        "roi_heads.mask_head.2.1": "mask_head.convs.2.norm",
    }.items():
        assert ours[f"{our_name}.weight"] is theirs[f"{their_name}.weight"]


DETECTORS = {
    "Faster R-CNN": detection.fasterrcnn_resnet50_fpn,
    "Mask R-CNN": detection.maskrcnn_resnet50_fpn,
    "RetinaNet": detection.retinanet_resnet50_fpn,
    "FCOS": detection.fcos_resnet50_fpn,
}


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_of_version_1_has_ours_names_only_and_coco_s_90_ids(name: str) -> None:
    theirs = state_of(DETECTORS[name])
    writer, contents = recognise(theirs)
    assert describe_weights(writer, contents) == f"{name} of torchvision"
    got = to_ours(theirs, writer)
    assert len(got) == len(theirs) + 5 * (name == "FCOS")
    parts = {key.partition(".")[0] for key in got}
    assert parts <= {"backbone", "neck", "rpn", "roi_head", "mask_head", "retina_head", "fcos_head"}
    assert num_classes_of(got) == 90


@pytest.mark.parametrize("name", DETECTORS)
def test_older_names_mean_the_same(name: str) -> None:
    theirs = state_of(DETECTORS[name])
    older = {in_older_words(key): tensor for key, tensor in theirs.items()}
    assert name == "FCOS" or "backbone.fpn.inner_blocks.2.weight" in older
    got = to_ours(older, recognise(older)[0])
    assert got.keys() == to_ours(theirs, TORCHVISION).keys()


def in_older_words(key: str) -> str:
    """As in the files that torchvision published with its version 0.3 and 0.8."""
    key = re.sub(r"(_blocks\.\d|rpn\.head\.conv)(?:\.0)+\.", r"\1.", key)
    key = re.sub(r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", key)
    is_conv = re.match(r"(head\.\w+_head\.conv)\.(\d)\.0\.(.+)", key)
    return f"{is_conv[1]}.{2 * int(is_conv[2])}.{is_conv[3]}" if is_conv else key


LAYERS = {
    "Mask R-CNN": {
        "backbone.body.layer4.0.conv1": "backbone.layer4.0.conv1",
        "roi_heads.mask_head.3.0": "mask_head.convs.3",
        "roi_heads.mask_predictor.conv5_mask": "mask_head.upsample",
        "rpn.head.conv.0.0": "rpn.conv",
        "roi_heads.box_head.fc7": "roi_head.fc2",
    },
    "RetinaNet": {
        "backbone.fpn.inner_blocks.0.0": "neck.pyramid.inner_blocks.0.0",
        "backbone.fpn.extra_blocks.p7": "neck.pyramid.extra_blocks.p7",
        "head.classification_head.conv.2.0": "retina_head.class_convs.2",
        "head.regression_head.conv.3.0": "retina_head.box_convs.3",
        "head.regression_head.bbox_reg": "retina_head.deltas",
    },
    "FCOS": {
        "head.classification_head.conv.9": "fcos_head.class_convs.3",
        "head.classification_head.conv.10": "fcos_head.class_convs.3.norm",
        "head.regression_head.conv.3": "fcos_head.box_convs.1",
        "head.regression_head.bbox_reg": "fcos_head.distances",
        "head.regression_head.bbox_ctrness": "fcos_head.centreness",
    },
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_theirs_is_one_of_ours(name: str) -> None:
    theirs = state_of(DETECTORS[name])
    ours = to_ours(theirs, TORCHVISION)
    for their_name, our_name in LAYERS[name].items():
        assert ours[f"{our_name}.weight"] is theirs[f"{their_name}.weight"]


def test_distances_of_fcos_have_a_scale_of_1() -> None:
    got = to_ours(state_of(DETECTORS["FCOS"]), TORCHVISION)
    assert [got[f"fcos_head.scales.{level}"].item() for level in range(5)] == [1] * 5


def test_logits_and_masks_of_a_background_are_given_up() -> None:
    theirs = state_of(detection.maskrcnn_resnet50_fpn)
    theirs["roi_heads.mask_predictor.mask_fcn_logits.bias"] = torch.arange(91.0)
    assert to_ours(theirs, TORCHVISION)["mask_head.logits.bias"].tolist() == [*range(1, 91)]
    theirs = state_of(detection.retinanet_resnet50_fpn)
    theirs["head.classification_head.cls_logits.bias"] = torch.arange(9 * 91.0)
    kept = [row for row in range(9 * 91) if row % 91]
    assert to_ours(theirs, TORCHVISION)["retina_head.class_logits.bias"].tolist() == kept


def test_frozen_norms_lack_counters_only() -> None:
    theirs = state_of(detection.fasterrcnn_resnet50_fpn)
    frozen = {key: tensor for key, tensor in theirs.items() if not key.endswith("num_batches_tracked")}
    lost = to_ours(theirs, TORCHVISION).keys() - to_ours(frozen, recognise(frozen)[0]).keys()
    assert len(lost) == 53
    assert all(key.endswith(".num_batches_tracked") for key in lost)


def test_ssd_is_refused_by_its_name() -> None:
    with torch.device("meta"):
        theirs = dict(detection.ssd300_vgg16(weights=None, weights_backbone=None).state_dict())
    with pytest.raises(WeightsError, match="these weights are of SSD, for which hrdet has no head"):
        recognise(theirs)
