"""torchvision's names, of its detectors' version 1, in either spelling that it has had."""

from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import LayerNames, Tensors, renamed_to_ours
from hrdet_cli.engine.weights.naming.writer import Writer

_LAYERS = (
    LayerNames("backbone.body", "backbone"),
    LayerNames("backbone.fpn.inner_blocks.{}.0", "neck.pyramid.inner_blocks.{}.0"),
    LayerNames("backbone.fpn.inner_blocks.{}", "neck.pyramid.inner_blocks.{}.0"),
    LayerNames("backbone.fpn.layer_blocks.{}.0", "neck.pyramid.layer_blocks.{}.0"),
    LayerNames("backbone.fpn.layer_blocks.{}", "neck.pyramid.layer_blocks.{}.0"),
    LayerNames("rpn.head.conv.0.0", "rpn.conv"),
    LayerNames("rpn.head.conv", "rpn.conv"),
    LayerNames("rpn.head.cls_logits", "rpn.objectness"),
    LayerNames("rpn.head.bbox_pred", "rpn.deltas"),
    LayerNames("roi_heads.box_head.fc6", "roi_head.fc1"),
    LayerNames("roi_heads.box_head.fc7", "roi_head.fc2"),
    LayerNames("roi_heads.box_predictor.cls_score", "roi_head.classifier"),
    LayerNames("roi_heads.box_predictor.bbox_pred", "roi_head.regressor"),
)


def _wrote(tensors: Tensors) -> bool:
    return "roi_heads.box_predictor.cls_score.weight" in tensors and "backbone.body.conv1.weight" in tensors


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    return renamed_to_ours(tensors, _LAYERS)


TORCHVISION = Writer(
    name="torchvision",
    wrote=_wrote,
    renamed=_renamed,
    background="first",
    other_heads=(
        (
            r"backbone\.fpn\.inner_blocks\.\d\.1\.|roi_heads\.box_head\.\d+\.\d+\.",
            "torchvision's Faster R-CNN, version 2",
        ),
        (r"head\.classification_head\.cls_logits\.", "RetinaNet or another one-stage detector"),
    ),
)
