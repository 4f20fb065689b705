"""Rules of what looks at regions in stages: Cascade R-CNN, with masks too, and Hybrid Task Cascade."""

from collections.abc import Mapping
from typing import Any

from hrdet_cli.specs.mmdetection.anchors import (
    FRESH,
    assigner,
    box_coder,
    box_loss,
    class_loss,
    stds_of_coder,
)
from hrdet_cli.specs.mmdetection.necks import PARTS
from hrdet_cli.specs.mmdetection.regions import (
    HEAD,
    MASK,
    ROI,
    TESTED,
    TRAINED,
    TRAINING_SLOT,
    box_heads,
    extractor,
    masks,
)
from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    Known,
    NoCounterpartError,
    Rule,
    fixed,
    follows,
    without,
)

_SEMANTIC = "model.head.semantic"


def _stages(*_: Any, known: Known) -> list[dict[str, Any]]:
    """The stages of a cascade."""
    weights = known.get("model.roi_head.stage_loss_weights")
    heads = known.get(HEAD)
    trainings = known.get(TRAINING_SLOT)
    count = len(weights)
    heads, trainings = (parts * count if len(parts) == 1 else parts for parts in (heads, trainings))
    stages = []
    for weight, head, training in zip(weights, heads, trainings, strict=True):
        threshold = training["assigner"]["pos_iou_thr"]
        claims = training["assigner"].get("match_low_quality", True)
        stages.append(
            {
                "positive_iou": threshold,
                "min_positive_iou": training["assigner"].get("min_pos_iou", 0.0) if claims else None,
                "box_stds": _stds_of(head, known=known),
                "loss_weight": weight,
            }
        )
    return stages


def _stds_of(head: Mapping[str, Any], *, known: Known) -> Any:
    """What a stage divides its deltas by; a head without a coder has Faster R-CNN's."""
    coder, of_head = head.get("bbox_coder"), [0.1, 0.1, 0.2, 0.2]
    if coder is None:
        return of_head
    stds = stds_of_coder(coder.get("target_stds"), known=known)
    return of_head if stds is UNSET else stds


_STAGE_KEYS = (
    "model.roi_head.stage_loss_weights",
    f"{HEAD}.bbox_coder.target_stds",
    *(f"{TRAINING_SLOT}.assigner.{key}" for key in ("pos_iou_thr", "min_pos_iou", "match_low_quality")),
)


def _neg_of_stages(values: Any, *, known: Known) -> object:
    if values != known.get(f"{TRAINING_SLOT}.assigner.pos_iou_thr"):
        raise NoCounterpartError("what is not positive is negative")
    return UNSET


def _cascade(kind: str, *mask_heads: str) -> tuple[Group, ...]:
    return (
        Group(
            "",
            (),
            (Rule(" ".join(_STAGE_KEYS), "model.head.stages", _stages, sees=True, each_stage=True),),
        ),
        Group(
            "model.roi_head",
            (kind,),
            (
                *follows("num_stages", why=PARTS),
                fixed("shared_head", None, why="hrdet has no shared head", is_network=True),
            ),
            gives={"model.head.kind": "cascade_rcnn"},
            assumed=kind,
            is_network=True,
        ),
        *extractor("bbox", ROI, [4, 8, 16, 32]),
        *box_heads(),
        Group(
            HEAD,
            (),
            (
                fixed(
                    "reg_class_agnostic",
                    True,
                    why="a cascade's boxes are the same for all classes",
                    is_network=True,
                ),
            ),
        ),
        box_coder(f"{HEAD}.bbox_coder", ROI, has_stds=False),
        class_loss(f"{HEAD}.loss_cls", is_sigmoid=False),
        *box_loss(f"{HEAD}.loss_bbox", f"{ROI}.box_loss", head="model.roi_head", beta=1),
        assigner(
            f"{TRAINING_SLOT}.assigner",
            Rule(
                "neg_iou_thr",
                None,
                _neg_of_stages,
                sees=True,
                why="what is not positive is negative",
                each_stage=True,
            ),
        ),
        *TRAINED,
        *TESTED,
        *masks(*mask_heads),
    )


CASCADE = _cascade("CascadeRoIHead", "FCNMaskHead")
"""Cascade and Cascade Mask R-CNN."""
HYBRID = (
    *_cascade("HybridTaskCascadeRoIHead", "HTCMaskHead"),
    Group(
        "model.roi_head",
        (),
        (
            Rule("interleaved", f"{MASK}.interleaved", absent=True),
            Rule("mask_info_flow", f"{MASK}.flow", absent=True),
            fixed("semantic_fusion", ["bbox", "mask"], why="boxes and masks see it", is_network=True),
        ),
    ),
    Group(
        "model.roi_head.semantic_head",
        ("FusedSemanticHead",),
        (
            Rule("num_classes", f"{_SEMANTIC}.num_labels", absent=183),
            Rule("num_convs", f"{_SEMANTIC}.num_convs", absent=4),
            Rule("loss_seg.loss_weight", f"{_SEMANTIC}.loss_weight", absent=0.2),
            fixed("loss_seg.type", "CrossEntropyLoss", why="labels are learnt by cross entropy"),
            fixed("loss_seg.ignore_index", 255, why="255 is no label"),
            fixed("fusion_level", 1, why="maps meet at stride 8", is_network=True),
            fixed("num_ins", 5, why="hrdet has five levels", is_network=True),
            *follows("in_channels", "conv_out_channels", "seg_scale_factor", why=PARTS),
            *follows("init_cfg", why=FRESH),
            *without("norm_cfg", "conv_cfg", why="hrdet has plain convolutions here"),
        ),
        gives={_SEMANTIC: {}},
        is_network=True,
    ),
    *extractor("semantic", _SEMANTIC, [8]),
)
"""Hybrid Task Cascade."""
