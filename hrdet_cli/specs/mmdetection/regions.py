"""Rules of what looks at regions, and of masks: Faster and Mask R-CNN."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hrdet_cli.specs.mmdetection.anchors import (
    COUNTED,
    FRESH,
    LEARNT,
    ONE,
    assigner,
    box_coder,
    box_loss,
    class_loss,
    nms,
)
from hrdet_cli.specs.mmdetection.necks import PARTS, part_norm
from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    Known,
    NoCounterpartError,
    OtherNetworkError,
    Rule,
    fixed,
    follows,
)

ROI = "model.head.roi_head"
MASK = "model.head.mask"
HEAD = "model.roi_head.bbox_head[]"
TRAINING_SLOT = "model.train_cfg.rcnn[]"


def _aligned(value: Any, *, known: Known) -> bool:
    return known.generation > 1 if value is None else bool(value)


def extractor(part: str, into: str, strides: list[int]) -> tuple[Group, ...]:
    """How regions are cut out."""
    slot = f"model.roi_head.{part}_roi_extractor"
    return (
        Group(
            slot,
            ("SingleRoIExtractor",),
            (
                fixed("featmap_strides", strides, why="regions come from the usual levels", is_network=True),
                fixed("finest_scale", 56, why="levels are chosen by sides of 56 pixels", is_network=True),
                *follows("out_channels", "init_cfg", why=PARTS),
            ),
            assumed="SingleRoIExtractor",
            is_network=True,
        ),
        Group(
            f"{slot}.roi_layer",
            ("RoIAlign",),
            (
                Rule("output_size", f"{into}.pool_cells", _cells),
                Rule("sampling_ratio", f"{into}.pool_sampling_ratio", absent=0),
                Rule("aligned", f"{into}.pool_aligned", _aligned, sees=True, absent=None),
                fixed("pool_mode", "avg", why="samples are averaged", is_network=True),
                *follows("use_torchvision", why=LEARNT),
            ),
            is_network=True,
        ),
    )


def _cells(value: Any) -> int:
    sides = value if isinstance(value, list) else [value]
    if len(set(sides)) > 1:
        raise OtherNetworkError("hrdet's grids are square")
    return int(sides[0])


_LAYERS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "Shared2FCBBoxHead": (0, 2),
        "Shared4Conv1FCBBoxHead": (4, 1),
        "SharedFCBBoxHead": (0, 2),
        "ConvFCBBoxHead": (0, 0),
    }
)
"""Convolutions and fully connected layers that a type of head has by itself."""


def box_heads() -> tuple[Group, ...]:
    """Layers that classify and refine regions."""
    counts = (
        Rule("num_shared_convs", f"{ROI}.num_convs"),
        Rule("num_shared_fcs", f"{ROI}.num_hidden_layers"),
        Rule("num_fcs", f"{ROI}.num_hidden_layers"),
    )
    rules = (
        Rule("fc_out_channels", f"{ROI}.hidden_features", absent=1024),
        Rule("conv_out_channels", f"{ROI}.conv_channels", absent=256),
        Rule("norm_cfg", f"{ROI}.norm", part_norm, absent=None),
        *follows("num_classes", why=COUNTED),
        *follows("in_channels", "roi_feat_size", why=PARTS),
        *follows("init_cfg", why=FRESH),
        fixed("reg_decoded_bbox", False, why="boxes are learnt as deltas"),
        fixed("with_cls", True, why="classes and boxes are learnt", is_network=True),
        fixed("with_reg", True, why="classes and boxes are learnt", is_network=True),
        fixed("with_avg_pool", False, why="no average in front", is_network=True),
        fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
        *(
            fixed(key, 0, why="all layers are shared by classes and boxes", is_network=True)
            for key in ("num_cls_convs", "num_cls_fcs", "num_reg_convs", "num_reg_fcs")
        ),
    )
    return tuple(
        Group(
            HEAD,
            (name,),
            (*(counts if name in ("SharedFCBBoxHead", "ConvFCBBoxHead") else ()), *rules),
            gives={f"{ROI}.num_convs": convs, f"{ROI}.num_hidden_layers": fcs} if fcs else {},
            is_network=True,
        )
        for name, (convs, fcs) in _LAYERS.items()
    )


def _sampler() -> tuple[Group, ...]:
    rules = (
        Rule("num", f"{ROI}.num_samples"),
        Rule("pos_fraction", f"{ROI}.positive_fraction"),
        fixed("neg_pos_ub", -1, why="negatives fill what positives leave"),
        fixed("add_gt_as_proposals", True, why="boxes are regions too"),
        *follows("pos_balance_sampling", "neg_balance_thr", why=LEARNT),
    )
    return tuple(
        Group(f"{TRAINING_SLOT}.sampler", (name,), rules, gives={f"{ROI}.sampling": sampling})
        for name, sampling in (("RandomSampler", "random"), ("OHEMSampler", "ohem"))
    )


def _same_as_positive(value: Any, *, known: Known) -> object:
    if value not in (known.get(f"{TRAINING_SLOT}.assigner.pos_iou_thr") or []):
        raise NoCounterpartError("what is not positive is negative")
    return UNSET


TRAINED = (
    Group(
        TRAINING_SLOT,
        (),
        (
            fixed("pos_weight", -1, 0, why=ONE),
            fixed("mask_size", 28, why="masks have twice the cells that are cut out"),
            *follows("debug", why=LEARNT),
            *follows("mask_thr_binary", why="masks that are learnt are half covered or not"),
        ),
    ),
    *_sampler(),
)
TESTED = (
    Group(
        "model.test_cfg.rcnn",
        (),
        (
            Rule("score_thr", f"{ROI}.score_threshold"),
            Rule("max_per_img", f"{ROI}.max_detections"),
            Rule("mask_thr_binary", f"{MASK}.threshold"),
            Rule("min_bbox_size", f"{ROI}.min_side_pixels"),
        ),
    ),
    Group("model.test_cfg", (), follows("keep_all_stages", why="the last stage's boxes are kept")),
    *nms("model.test_cfg.rcnn.nms", f"{ROI}.nms_iou", f"{ROI}.soft_nms"),
)


def masks(*kinds: str) -> tuple[Group, ...]:
    """Mask branches of some types."""
    slot = "model.roi_head.mask_head[]"
    return (
        *(
            Group(
                slot,
                (kind,),
                (
                    Rule("num_convs", f"{MASK}.num_convs", absent=4),
                    Rule("conv_out_channels", f"{MASK}.channels", absent=256),
                    Rule("norm_cfg", f"{MASK}.norm", part_norm, absent=None),
                    *follows("num_classes", why=COUNTED),
                    *follows("in_channels", "roi_feat_size", "with_conv_res", why=PARTS),
                    *follows("init_cfg", why=FRESH),
                    fixed("class_agnostic", False, why="each class has a mask", is_network=True),
                    fixed("upsample_cfg.type", "deconv", why="masks are doubled", is_network=True),
                    fixed("upsample_cfg.scale_factor", 2, why="masks are doubled", is_network=True),
                    fixed("upsample_method", "deconv", why="masks are doubled", is_network=True),
                    fixed("upsample_ratio", 2, why="masks are doubled", is_network=True),
                    fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
                ),
                gives={MASK: {}},
                is_network=True,
            )
            for kind in kinds
        ),
        class_loss(f"{slot}.loss_mask", is_sigmoid=False),
        *extractor("mask", MASK, [4, 8, 16, 32]),
    )


def _claim(least: Any, match: Any) -> float | None:
    return None if match is False else float(least or 0)


FASTER = (
    Group(
        "model.roi_head",
        ("StandardRoIHead",),
        (fixed("shared_head", None, why="hrdet has no shared head", is_network=True),),
        gives={"model.head.kind": "faster_rcnn"},
        assumed="StandardRoIHead",
        is_network=True,
    ),
    *extractor("bbox", ROI, [4, 8, 16, 32]),
    *box_heads(),
    Group(HEAD, (), (Rule("reg_class_agnostic", f"{ROI}.class_agnostic_boxes", absent=False),)),
    box_coder(f"{HEAD}.bbox_coder", ROI),
    class_loss(f"{HEAD}.loss_cls", is_sigmoid=False),
    *box_loss(f"{HEAD}.loss_bbox", f"{ROI}.box_loss", head="model.roi_head", beta=1),
    assigner(
        f"{TRAINING_SLOT}.assigner",
        Rule("pos_iou_thr", f"{ROI}.positive_iou"),
        Rule("neg_iou_thr", None, _same_as_positive, sees=True, why="what is not positive is negative"),
        Rule("min_pos_iou match_low_quality", f"{ROI}.min_positive_iou", _claim, absent=None),
    ),
    *TRAINED,
    *TESTED,
    *masks("FCNMaskHead"),
)
"""Faster and Mask R-CNN."""
