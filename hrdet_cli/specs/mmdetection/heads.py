"""Rules of what predicts at every cell: the region proposal network, RetinaNet and FCOS."""

from typing import Any

from hrdet_cli.specs.mmdetection.anchors import (
    COUNTED,
    FRESH,
    LEARNT,
    ONE,
    STRIDES,
    anchor_training,
    anchors,
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


def _overlap_losses(**kinds: Any) -> tuple[Group, ...]:
    """Losses on the boxes that deltas make: what each is in a spec."""
    return tuple(
        Group(
            "model.bbox_head.loss_bbox",
            (name,),
            (
                fixed("loss_weight", 1, why=ONE),
                fixed("mode", "log", why="the loss is a logarithm"),
                fixed("linear", False, why="the loss is a logarithm"),
                *follows("eps", "reduction", why=LEARNT),
            ),
            gives={"model.head.box_loss": kind},
        )
        for name, kind in kinds.items()
    )


def _focal(into: str) -> Group:
    return Group(
        "model.bbox_head.loss_cls",
        ("FocalLoss",),
        (
            Rule("gamma", f"{into}.focal_gamma", absent=2.0),
            Rule("alpha", f"{into}.focal_alpha", absent=0.25),
            fixed("use_sigmoid", True, why="the focal loss is of sigmoids"),
            fixed("loss_weight", 1, why=ONE),
            *follows("reduction", "activated", why=LEARNT),
        ),
        assumed="FocalLoss",
        even_missing="model.bbox_head",
    )


_RPN = "model.head.rpn"
_REDECODED = "boxes are learnt as deltas"
RPN = (
    Group(
        "model.rpn_head",
        ("RPNHead",),
        (
            Rule("num_convs", f"{_RPN}.num_convs", absent=1),
            Rule("norm_cfg", f"{_RPN}.norm", part_norm),
            fixed("num_classes", 1, 2, why="it tells objects from none"),
            fixed("reg_decoded_bbox", False, why=_REDECODED),
            fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
            *follows("in_channels", "feat_channels", why=PARTS),
            *follows("init_cfg", "use_sigmoid_cls", why=FRESH),
        ),
        is_network=True,
    ),
    *anchors("model.rpn_head.anchor_generator", _RPN),
    box_coder("model.rpn_head.bbox_coder", _RPN),
    class_loss("model.rpn_head.loss_cls", is_sigmoid=True),
    *box_loss("model.rpn_head.loss_bbox", f"{_RPN}.box_loss", head="model.rpn_head", beta=1 / 9),
    *anchor_training("model.train_cfg.rpn", _RPN),
    Group(
        "model.train_cfg.rpn.sampler",
        ("RandomSampler",),
        (
            Rule("num", f"{_RPN}.num_samples"),
            Rule("pos_fraction", f"{_RPN}.positive_fraction"),
            fixed("neg_pos_ub", -1, why="negatives fill what positives leave"),
            fixed("add_gt_as_proposals", False, why="anchors are no boxes"),
            *follows("pos_balance_sampling", "neg_balance_thr", why=LEARNT),
        ),
    ),
    *(
        group
        for slot, part in (("model.train_cfg.rpn_proposal", "train"), ("model.test_cfg.rpn", "test"))
        for group in (
            Group(
                slot,
                (),
                (
                    Rule("nms_pre", f"{_RPN}.num_{part}_candidates_per_level"),
                    Rule("max_per_img", f"{_RPN}.num_{part}_proposals"),
                    Rule("min_bbox_size", f"{_RPN}.min_side_pixels", absent=0),
                    fixed("nms_across_levels", False, why="levels are suppressed apart"),
                    *follows("nms_post", why="max_per_img limits all levels together"),
                ),
            ),
            *nms(f"{slot}.nms", f"{_RPN}.nms_iou", None),
        )
    ),
)
"""The region proposal network."""

_HEAD = "model.head"
_EVERY_DENSE_HEAD = (
    Rule("stacked_convs", f"{_HEAD}.num_convs", absent=4),
    Rule("feat_channels", f"{_HEAD}.channels", absent=256),
    *follows("num_classes", why=COUNTED),
    *follows("in_channels", why=PARTS),
    *follows("init_cfg", why=FRESH),
    fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
)


def _ranges(value: Any) -> list[float]:
    ends = [float(last) for _, last in value[:-1]]
    starts = [float(first) for first, _ in value[1:]]
    if ends != starts or len(ends) != 4:
        raise OtherNetworkError("hrdet has five ranges of distances, each beginning where another ends")
    return ends


def _radius(samples: Any, radius: Any) -> Any:
    return (1.5 if radius is None else radius) if samples else UNSET


def _conv_bias(value: Any) -> bool:
    return value is True


def _distances(value: Any) -> str:
    return "strides" if value else "exponential"


def _centreness(value: Any) -> str:
    return "boxes" if value else "classes"


def _retina_decoded(value: Any, *, known: Known) -> object:
    is_overlap = known.get("model.bbox_head.loss_bbox.type") in ("IoULoss", "GIoULoss")
    if bool(value) != is_overlap:
        raise NoCounterpartError("L1 losses are of deltas, losses of overlap of boxes")
    return UNSET


DENSE = (
    Group(
        "model.bbox_head",
        ("RetinaHead",),
        (
            *_EVERY_DENSE_HEAD,
            Rule("norm_cfg", f"{_HEAD}.norm", part_norm, absent=None),
            Rule("reg_decoded_bbox", None, _retina_decoded, sees=True, why=_REDECODED),
        ),
        gives={f"{_HEAD}.kind": "retinanet"},
        is_network=True,
    ),
    Group(
        "model.bbox_head",
        ("FCOSHead",),
        (
            *_EVERY_DENSE_HEAD,
            Rule("norm_cfg", f"{_HEAD}.norm", part_norm, absent={"type": "GN"}),
            Rule("conv_bias", f"{_HEAD}.conv_bias", _conv_bias, absent="auto"),
            Rule("regress_ranges", f"{_HEAD}.range_ends_pixels", _ranges),
            Rule("center_sampling center_sample_radius", f"{_HEAD}.centre_radius", _radius, absent=None),
            Rule("norm_on_bbox", f"{_HEAD}.distances", _distances, absent=False),
            Rule("centerness_on_reg", f"{_HEAD}.centreness_from", _centreness, absent=False),
            fixed("dcn_on_last_conv", False, why="hrdet has plain convolutions here", is_network=True),
            fixed("strides", STRIDES[1], why="strides are those of the levels", is_network=True),
            *follows("bbox_coder", why="boxes are four distances"),
        ),
        gives={f"{_HEAD}.kind": "fcos"},
        is_network=True,
    ),
    *anchors("model.bbox_head.anchor_generator", _HEAD),
    box_coder("model.bbox_head.bbox_coder", _HEAD),
    _focal(_HEAD),
    class_loss("model.bbox_head.loss_centerness", is_sigmoid=True),
)
"""RetinaNet and FCOS, but for their losses on boxes and what they learn, which go by the kind."""

DENSE_TESTING = (
    Group(
        "model.test_cfg",
        (),
        (
            Rule("nms_pre", f"{_HEAD}.num_candidates_per_level"),
            Rule("score_thr", f"{_HEAD}.score_threshold"),
            Rule("max_per_img", f"{_HEAD}.max_detections"),
            Rule("min_bbox_size", f"{_HEAD}.min_side_pixels"),
        ),
    ),
    *nms("model.test_cfg.nms", f"{_HEAD}.nms_iou", f"{_HEAD}.soft_nms"),
)
RETINANET = (
    *DENSE,
    *box_loss("model.bbox_head.loss_bbox", f"{_HEAD}.box_loss", head="model.bbox_head", beta=1 / 9),
    *_overlap_losses(IoULoss={"kind": "iou"}, GIoULoss={"kind": "giou"}),
    *anchor_training("model.train_cfg", _HEAD),
    Group("model.train_cfg.sampler", ("PseudoSampler",), (), assumed="PseudoSampler"),
    *DENSE_TESTING,
)
FCOS = (
    *DENSE,
    *_overlap_losses(IoULoss="iou", GIoULoss="giou"),
    Group("", (), follows("model.train_cfg", why="FCOS has no anchors to assign")),
    *DENSE_TESTING,
)
