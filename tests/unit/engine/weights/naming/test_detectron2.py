"""detectron2's names become ours; they are written down from its sources, for it is not installed."""

from collections.abc import Mapping

import pytest
import torch

from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.detectron2 import DETECTRON2
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from tests.state_dicts import State, numbered, ours_of, renamed, shapes_in, shapes_of

Names = Mapping[str, str]

RESNET = {
    "backbone.conv1": "backbone.bottom_up.stem.conv1",
    "backbone.bn1": "backbone.bottom_up.stem.conv1.norm",
    "backbone.layer1.0.downsample.0": "backbone.bottom_up.res2.0.shortcut",
    "backbone.layer1.0.downsample.1": "backbone.bottom_up.res2.0.shortcut.norm",
    "backbone.layer3.5.conv2.conv_offset": "backbone.bottom_up.res4.5.conv2_offset",
    "backbone.layer3.5.conv2": "backbone.bottom_up.res4.5.conv2",
    "backbone.layer4.2.bn3": "backbone.bottom_up.res5.2.conv3.norm",
}
FPN = {
    "neck.pyramid.inner_blocks.0.0": "backbone.fpn_lateral2",
    "neck.pyramid.layer_blocks.3.0": "backbone.fpn_output5",
}
FASTER = {
    **FPN,
    "rpn.conv": "proposal_generator.rpn_head.conv",
    "rpn.objectness": "proposal_generator.rpn_head.objectness_logits",
    "rpn.deltas": "proposal_generator.rpn_head.anchor_deltas",
    "roi_head.fc1": "roi_heads.box_head.fc1",
    "roi_head.fc2": "roi_heads.box_head.fc2",
    "roi_head.classifier": "roi_heads.box_predictor.cls_score",
    "roi_head.regressor": "roi_heads.box_predictor.bbox_pred",
}
MASK = {
    **FASTER,
    "mask_head.convs.0": "roi_heads.mask_head.mask_fcn1",
    "mask_head.convs.3": "roi_heads.mask_head.mask_fcn4",
    "mask_head.upsample": "roi_heads.mask_head.deconv",
    "mask_head.logits": "roi_heads.mask_head.predictor",
}
CASCADE = {
    **FPN,
    "rpn.objectness": "proposal_generator.rpn_head.objectness_logits",
    "roi_head.stages.0.fc1": "roi_heads.box_head.0.fc1",
    "roi_head.stages.2.classifier": "roi_heads.box_predictor.2.cls_score",
    "roi_head.stages.0.classifier": "roi_heads.box_predictor.0.cls_score",
    "mask_head.convs.1": "roi_heads.mask_head.mask_fcn2",
    "mask_head.logits": "roi_heads.mask_head.predictor",
}
RETINA = {
    "neck.pyramid.inner_blocks.0.0": "backbone.fpn_lateral3",
    "neck.pyramid.layer_blocks.2.0": "backbone.fpn_output5",
    "neck.pyramid.extra_blocks.p6": "backbone.top_block.p6",
    "retina_head.class_convs.0": "head.cls_subnet.0",
    "retina_head.class_convs.3": "head.cls_subnet.6",
    "retina_head.box_convs.1": "head.bbox_subnet.2",
    "retina_head.class_logits": "head.cls_score",
    "retina_head.deltas": "head.bbox_pred",
}
GROUP_NORM = {
    **FPN,
    "neck.pyramid.inner_blocks.0.1": "backbone.fpn_lateral2.norm",
    "rpn.conv.1": "proposal_generator.rpn_head.conv.conv1",
    "rpn.objectness": "proposal_generator.rpn_head.objectness_logits",
    "roi_head.convs.0": "roi_heads.box_head.conv1",
    "roi_head.convs.3.norm": "roi_heads.box_head.conv4.norm",
    "mask_head.convs.1.norm": "roi_heads.mask_head.mask_fcn2.norm",
    "roi_head.classifier": "roi_heads.box_predictor.cls_score",
}


@pytest.mark.parametrize(
    ("names", "described"),
    [
        (FASTER, "Faster R-CNN"),
        (MASK, "Mask R-CNN"),
        (CASCADE, "Cascade Mask R-CNN"),
        (RETINA, "RetinaNet"),
        (GROUP_NORM, "Faster R-CNN"),
    ],
    ids=["faster", "mask", "cascade", "retinanet", "group norm"],
)
def test_a_layer_of_theirs_is_one_of_ours(names: Names, described: str) -> None:
    names = {**RESNET, **names}
    theirs = numbered({f"{name}.weight": (36, 4) for name in names.values()})
    writer, contents = recognise(theirs)
    assert describe_weights(writer, contents) == f"{described} of detectron2"
    ours = to_ours(theirs, writer)
    assert ours.keys() == {f"{name}.weight" for name in names}
    for our_name, their_name in names.items():
        assert torch.equal(ours[f"{our_name}.weight"], theirs[f"{their_name}.weight"])


def in_detectron2(state: State) -> State:
    """Our detector as detectron2 would name it; its frozen norms count no batches."""
    blocks = [(f"backbone.layer{stage}.", f"backbone.bottom_up.res{stage + 1}.") for stage in range(1, 5)]
    levels = [
        (f"neck.pyramid.{ours}.{level}.0.", f"backbone.fpn_{theirs}{level + 2}.")
        for ours, theirs in (("inner_blocks", "lateral"), ("layer_blocks", "output"))
        for level in range(4)
    ]
    theirs = renamed(
        state,
        ("backbone.conv1.", "backbone.bottom_up.stem.conv1."),
        ("backbone.bn1.", "backbone.bottom_up.stem.conv1.norm."),
        *blocks,
        *((f".bn{number}.", f".conv{number}.norm.") for number in range(1, 4)),
        ("downsample.0.", "shortcut."),
        ("downsample.1.", "shortcut.norm."),
        *levels,
        *((f"{ours}.", f"{theirs}.") for ours, theirs in FASTER.items() if not ours.startswith("neck")),
    )
    return {key: tensor for key, tensor in theirs.items() if not key.endswith("num_batches_tracked")}


def test_a_whole_detector_has_all_that_ours_needs_but_counters() -> None:
    theirs = in_detectron2(ours_of("mmdet3-r50-caffe-fpn"))
    constants = {
        "pixel_mean": torch.zeros(3, 1, 1),
        "pixel_std": torch.ones(3, 1, 1),
        "proposal_generator.anchor_generator.cell_anchors.4": torch.zeros(3, 4),
    }
    got = to_ours(theirs | constants, DETECTRON2)
    wanted = shapes_of("mmdet3-r50-caffe-fpn")
    assert shapes_in(got) == {key: shape for key, shape in wanted.items() if "num_batches" not in key}
    assert num_classes_of(got) == 80


def test_retinanet_s_anchors_are_put_in_our_order() -> None:
    """There all aspect ratios of a scale are together, here all scales of an aspect ratio."""
    anchors = [10.0 * scale + ratio for scale in range(3) for ratio in range(3)]
    theirs = numbered({f"{name}.weight": (1,) for name in RETINA.values()})
    theirs["head.bbox_pred.bias"] = torch.tensor(
        [anchor + side / 10 for anchor in anchors for side in range(4)]
    )
    theirs["head.cls_score.bias"] = torch.tensor(
        [anchor + label / 10 for anchor in anchors for label in range(2)]
    )
    theirs["head.cls_score.weight"] = theirs["head.cls_score.bias"].view(-1, 1, 1, 1)
    ours = to_ours(theirs, DETECTRON2)
    in_order = [10.0 * scale + ratio for ratio in range(3) for scale in range(3)]
    logits = torch.tensor([anchor + label / 10 for anchor in in_order for label in range(2)])
    deltas = torch.tensor([anchor + side / 10 for anchor in in_order for side in range(4)])
    assert torch.equal(ours["retina_head.deltas.bias"], deltas)
    assert torch.equal(ours["retina_head.class_logits.bias"], logits)
    assert torch.equal(ours["retina_head.class_logits.weight"].flatten(), logits)
