"""torchvision's detectors, versions 1 and 2, with either spelling of their layers.

Sources: ``torchvision/models/detection`` of 0.29. Its published files have the older spelling, which its
``_load_from_state_dict`` still takes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import (
    LayerNames,
    Tensors,
    numbered_convs,
    renamed_to_ours,
)
from hrdet_cli.engine.weights.naming.writer import Writer

_RETINA = "head.classification_head.cls_logits.weight"
_FCOS = "head.regression_head.bbox_ctrness.weight"
_REGIONS = "roi_heads.box_predictor.cls_score.weight"
_NUM_LEVELS = 5


def _trunk() -> Iterator[LayerNames]:
    yield LayerNames("backbone.body", "backbone")
    for blocks in ("inner_blocks", "layer_blocks"):
        block = f"neck.pyramid.{blocks}.{{}}"
        yield LayerNames(f"backbone.fpn.{blocks}.{{}}.1", f"{block}.1")
        yield LayerNames(f"backbone.fpn.{blocks}.{{}}.0", f"{block}.0")
        yield LayerNames(f"backbone.fpn.{blocks}.{{}}", f"{block}.0")
    yield LayerNames("backbone.fpn.extra_blocks", "neck.pyramid.extra_blocks")


def _region_heads(tensors: Tensors) -> Iterator[LayerNames]:
    has_several = "rpn.head.conv.1.0.weight" in tensors
    yield (
        LayerNames("rpn.head.conv.{}.0", "rpn.conv.{}")
        if has_several
        else LayerNames("rpn.head.conv.0.0", "rpn.conv")
    )
    yield LayerNames("rpn.head.conv", "rpn.conv")
    yield LayerNames("rpn.head.cls_logits", "rpn.objectness")
    yield LayerNames("rpn.head.bbox_pred", "rpn.deltas")
    yield LayerNames("roi_heads.box_head.fc6", "roi_head.fc1")
    yield LayerNames("roi_heads.box_head.fc7", "roi_head.fc2")
    yield LayerNames("roi_heads.box_head.{}.0", "roi_head.convs.{}")
    yield LayerNames("roi_heads.box_head.{}.1", "roi_head.convs.{}.norm")
    yield LayerNames("roi_heads.box_head.5", "roi_head.fc1")  # behind four convolutions and a flattening
    yield LayerNames("roi_heads.box_predictor.cls_score", "roi_head.classifier")
    yield LayerNames("roi_heads.box_predictor.bbox_pred", "roi_head.regressor")
    yield LayerNames("roi_heads.mask_head.{}.0", "mask_head.convs.{}")
    yield LayerNames("roi_heads.mask_head.{}.1", "mask_head.convs.{}.norm")
    for number in range(4):
        yield LayerNames(f"roi_heads.mask_head.mask_fcn{number + 1}", f"mask_head.convs.{number}")
    yield LayerNames("roi_heads.mask_predictor.conv5_mask", "mask_head.upsample")
    yield LayerNames("roi_heads.mask_predictor.mask_fcn_logits", "mask_head.logits")


def _retina_head() -> Iterator[LayerNames]:
    for theirs, ours in (("classification_head", "class_convs"), ("regression_head", "box_convs")):
        yield LayerNames(f"head.{theirs}.conv.{{}}.0", f"retina_head.{ours}.{{}}")
        yield LayerNames(f"head.{theirs}.conv.{{}}.1", f"retina_head.{ours}.{{}}.norm")
        yield from numbered_convs(f"head.{theirs}.conv", f"retina_head.{ours}", step=2)
    yield LayerNames("head.classification_head.cls_logits", "retina_head.class_logits")
    yield LayerNames("head.regression_head.bbox_reg", "retina_head.deltas")


def _fcos_head() -> Iterator[LayerNames]:
    yield from numbered_convs("head.classification_head.conv", "fcos_head.class_convs", step=3)
    yield from numbered_convs("head.regression_head.conv", "fcos_head.box_convs", step=3)
    yield LayerNames("head.classification_head.cls_logits", "fcos_head.class_logits")
    yield LayerNames("head.regression_head.bbox_reg", "fcos_head.distances")
    yield LayerNames("head.regression_head.bbox_ctrness", "fcos_head.centreness")


def _with_scales(tensors: Tensors) -> dict[str, Tensor]:
    """Its distances have no scale of their level, which is as if that were 1."""
    scales = {f"fcos_head.scales.{level}": torch.ones(()) for level in range(_NUM_LEVELS)}
    return {**tensors, **scales}


def _wrote(tensors: Tensors) -> bool:
    has_head = any(layer in tensors for layer in (_REGIONS, _RETINA))
    return has_head and "backbone.body.conv1.weight" in tensors


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    if _FCOS in tensors:
        return _with_scales(renamed_to_ours(tensors, [*_trunk(), *_fcos_head()]))
    head = _retina_head() if _RETINA in tensors else _region_heads(tensors)
    return renamed_to_ours(tensors, [*_trunk(), *head])


TORCHVISION = Writer(
    name="torchvision",
    wrote=_wrote,
    renamed=_renamed,
    background="first",
    dense_background="first",
    other_heads=((r"head\.classification_head\.module_list\.", "SSD"),),
)
