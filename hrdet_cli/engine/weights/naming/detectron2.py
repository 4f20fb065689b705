"""detectron2's files: its models', and those of its model zoo.

Sources: ``detectron2/modeling`` (``backbone/resnet.py``, ``backbone/fpn.py``, ``proposal_generator/rpn.py``,
``roi_heads``, ``meta_arch/retinanet.py``, ``anchor_generator.py``).
"""

import re
from collections.abc import Iterator

from torch import Tensor

from hrdet_cli.engine.weights.naming.classes import num_anchors_of
from hrdet_cli.engine.weights.naming.renaming import (
    LayerNames,
    Tensors,
    numbered_convs,
    renamed_to_ours,
)
from hrdet_cli.engine.weights.naming.writer import Writer

_LAYERS = (
    "proposal_generator.rpn_head.objectness_logits.weight",
    "roi_heads.box_predictor.cls_score.weight",
    "roi_heads.box_predictor.0.cls_score.weight",
    "head.cls_subnet.0.weight",
)
_NO_WEIGHTS = re.compile(r"pixel_(?:mean|std)$|(?:proposal_generator\.)?anchor_generator\.cell_anchors\.\d+$")
"""Constants that its older files hold."""
_NUM_ASPECT_RATIOS = 3
_NUM_CONVS = 4


def _resnet() -> Iterator[LayerNames]:
    theirs = "backbone.bottom_up"
    yield LayerNames(f"{theirs}.stem.conv1.norm", "backbone.bn1")
    yield LayerNames(f"{theirs}.stem.conv1", "backbone.conv1")
    for stage in range(1, 5):
        block, ours = f"{theirs}.res{stage + 1}.{{}}", f"backbone.layer{stage}.{{}}"
        yield LayerNames(f"{block}.shortcut.norm", f"{ours}.downsample.1")
        yield LayerNames(f"{block}.shortcut", f"{ours}.downsample.0")
        yield LayerNames(f"{block}.conv2_offset", f"{ours}.conv2.conv_offset")
        for number in range(1, 4):
            yield LayerNames(f"{block}.conv{number}.norm", f"{ours}.bn{number}")
            yield LayerNames(f"{block}.conv{number}", f"{ours}.conv{number}")


def _fpn(*, finest: int) -> Iterator[LayerNames]:
    """Its levels are numbered by the backbone's stages, ours from 0."""
    for level in range(finest, 6):
        for theirs, ours in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
            block = f"neck.pyramid.{ours}.{level - finest}"
            yield LayerNames(f"backbone.fpn_{theirs}{level}.norm", f"{block}.1")
            yield LayerNames(f"backbone.fpn_{theirs}{level}", f"{block}.0")
    yield LayerNames("backbone.top_block", "neck.pyramid.extra_blocks")


def _region_heads() -> Iterator[LayerNames]:
    for number in range(_NUM_CONVS):
        yield LayerNames(f"proposal_generator.rpn_head.conv.conv{number}", f"rpn.conv.{number}")
    yield LayerNames("proposal_generator.rpn_head.conv", "rpn.conv")
    yield LayerNames("proposal_generator.rpn_head.objectness_logits", "rpn.objectness")
    yield LayerNames("proposal_generator.rpn_head.anchor_deltas", "rpn.deltas")
    for stage, our_stage in ((".{}", "stages.{}."), ("", "")):
        for number in range(_NUM_CONVS):
            theirs, ours = (
                f"roi_heads.box_head{stage}.conv{number + 1}",
                f"roi_head.{our_stage}convs.{number}",
            )
            yield LayerNames(theirs, ours)
        yield LayerNames(f"roi_heads.box_head{stage}.fc1", f"roi_head.{our_stage}fc1")
        yield LayerNames(f"roi_heads.box_head{stage}.fc2", f"roi_head.{our_stage}fc2")
        yield LayerNames(f"roi_heads.box_predictor{stage}.cls_score", f"roi_head.{our_stage}classifier")
        yield LayerNames(f"roi_heads.box_predictor{stage}.bbox_pred", f"roi_head.{our_stage}regressor")
    for number in range(_NUM_CONVS):
        yield LayerNames(f"roi_heads.mask_head.mask_fcn{number + 1}", f"mask_head.convs.{number}")
    yield LayerNames("roi_heads.mask_head.deconv", "mask_head.upsample")
    yield LayerNames("roi_heads.mask_head.predictor", "mask_head.logits")


def _retina_head(tensors: Tensors) -> Iterator[LayerNames]:
    step = 3 if "head.cls_subnet.1.weight" in tensors else 2  # with norms between
    yield from numbered_convs("head.cls_subnet", "retina_head.class_convs", step=step)
    yield from numbered_convs("head.bbox_subnet", "retina_head.box_convs", step=step)
    yield LayerNames("head.cls_score", "retina_head.class_logits")
    yield LayerNames("head.bbox_pred", "retina_head.deltas")


def _in_our_order_of_anchors(tensors: Tensors) -> dict[str, Tensor]:
    """RetinaNet's anchors with all scales of an aspect ratio beside each other; there it is the other way."""
    num_anchors = num_anchors_of(tensors)
    if num_anchors % _NUM_ASPECT_RATIOS:
        return dict(tensors)
    ordered = dict(tensors)
    for layer in ("class_logits", "deltas"):
        for key in (f"retina_head.{layer}.weight", f"retina_head.{layer}.bias"):
            rows = tensors.get(key)
            if rows is not None and rows.dim() > 0 and len(rows) % num_anchors == 0:
                num_scales = num_anchors // _NUM_ASPECT_RATIOS
                by_scale = rows.reshape(num_scales, _NUM_ASPECT_RATIOS, -1, *rows.shape[1:])
                ordered[key] = by_scale.transpose(0, 1).flatten(0, 2)
    return ordered


def _wrote(tensors: Tensors) -> bool:
    has_head = any(layer in tensors for layer in _LAYERS)
    return has_head and any(key.startswith("backbone.") for key in tensors)


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    weights = {key: tensor for key, tensor in tensors.items() if not _NO_WEIGHTS.match(key)}
    is_dense = "head.cls_subnet.0.weight" in weights
    head = _retina_head(weights) if is_dense else _region_heads()
    finest = 2 if "backbone.fpn_lateral2.weight" in weights else 3
    ours = renamed_to_ours(weights, [*_resnet(), *_fpn(finest=finest), *head])
    return _in_our_order_of_anchors(ours) if is_dense else ours


DETECTRON2 = Writer(
    name="detectron2",
    wrote=_wrote,
    renamed=_renamed,
    background="last",
    other_heads=(
        (r"roi_heads\.res5\.", "a detector whose regions go through the backbone's last stage (C4)"),
        (r"head\.ctrness\.", "detectron2's FCOS"),
        (r"sem_seg_head\.", "a semantic or panoptic segmenter"),
    ),
)
