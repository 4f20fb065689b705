"""Rules that heads share: anchors, how boxes are coded, lost, learnt and selected."""

import math
from typing import Any

from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    Known,
    OtherNetworkError,
    Rule,
    fixed,
    follows,
    one_of,
)

COUNTED = "hrdet counts the classes of the training annotations"
ONE = "losses count once each"
FRESH = "weights that are loaded have their own"
LEARNT = "does not change what is learnt"
STRIDES = ([4, 8, 16, 32, 64], [8, 16, 32, 64, 128])


def _scale(scales: Any, octave: Any) -> float:
    """Side of the smallest anchors."""
    return float(octave if scales is None else scales[0])


def _per_octave(scales: Any, per_octave: Any) -> int:
    """Anchors that are not twice as large as the first."""
    if scales is None:
        return int(per_octave)
    steps = [scales[0] * 2 ** (index / len(scales)) for index in range(len(scales))]
    if not all(math.isclose(scale, step, rel_tol=1e-3) for scale, step in zip(scales, steps, strict=True)):
        raise OtherNetworkError("hrdet's scales of anchors share one octave out evenly")
    return len(scales)


def anchors(slot: str, into: str) -> tuple[Group, ...]:
    """Where anchors lie."""
    rules = (
        Rule("scales octave_base_scale", f"{into}.anchor_scale", _scale),
        Rule("scales scales_per_octave", f"{into}.anchor_scales_per_octave", _per_octave),
        Rule("ratios", f"{into}.anchor_aspect_ratios"),
        fixed("strides", *STRIDES, why="strides are those of the levels", is_network=True),
        fixed("base_sizes", None, *STRIDES, why="sizes go by the strides", is_network=True),
        fixed("scale_major", True, why="the order of anchors is one", is_network=True),
        fixed("centers", None, why="anchors lie alike in all cells", is_network=True),
    )
    offset = f"{into}.anchor_offset"
    return (
        Group(slot, ("AnchorGenerator",), (*rules, Rule("center_offset", offset)), assumed="AnchorGenerator"),
        Group(
            slot,
            ("LegacyAnchorGenerator",),
            (*rules, Rule("center_offset", offset, absent=0.5)),
            gives={f"{into}.round_anchors": True},
        ),
    )


def stds_of_coder(value: Any, *, known: Known) -> Any:
    """What a coder has: one that is written out has 1 where it names none; version 1 has a head's own."""
    return value if value is not None else UNSET if known.generation == 1 else [1.0] * 4


def box_coder(slot: str, into: str, *, has_stds: bool = True) -> Group:
    """How boxes are coded."""
    stds = Rule("target_stds", f"{into}.box_stds", stds_of_coder, sees=True, absent=None)
    return Group(
        slot,
        ("DeltaXYWHBBoxCoder", "LegacyDeltaXYWHBBoxCoder"),
        (
            Rule("target_means", f"{into}.box_means"),
            *([stds] if has_stds else []),
            fixed("clip_border", True, why="boxes end with the picture"),
            fixed("add_ctr_clamp", False, why="centres are not clamped"),
            *follows("ctr_clamp", why="centres are not clamped"),
        ),
        assumed="DeltaXYWHBBoxCoder",
    )


def box_loss(slot: str, into: str, *, head: str, beta: float) -> tuple[Group, ...]:
    """The loss on deltas.

    Args:
        slot: Where it is named.
        into: Our section.
        head: The head it is of, whose own loss, where none is named, is smooth-L1.
        beta: Of that one.
    """
    rules = (fixed("loss_weight", 1, why=ONE), *follows("reduction", why=LEARNT))
    smooth = "SmoothL1Loss"
    return (
        Group(slot, (smooth,), (), gives={into: _smooth(beta)}, assumed=smooth, even_missing=head),
        Group(slot, (smooth,), (Rule("beta", into, _smooth, absent=1.0), *rules)),
        Group(slot, ("L1Loss",), rules, gives={into: {"kind": "l1"}}),
    )


def _smooth(beta: float) -> dict[str, Any]:
    return {"kind": "smooth_l1", "beta": float(beta)}


def class_loss(slot: str, *, is_sigmoid: bool) -> Group:
    """The cross entropy of a classifier."""
    return Group(
        slot,
        ("CrossEntropyLoss",),
        (
            fixed("use_sigmoid", is_sigmoid, why="this classifier's scores come from one function"),
            fixed("use_mask", True, why="masks are scored cell by cell"),
            fixed("loss_weight", 1, why=ONE),
            fixed("class_weight", None, why="all classes count alike"),
            *follows("reduction", why=LEARNT),
        ),
        assumed="CrossEntropyLoss",
    )


def low_quality(least: Any, match: Any) -> float:
    """Overlap from which a box claims its best anchors; 1 where it claims none."""
    return 1.0 if match is False else float(least or 0)


def assigner(slot: str, *rules: Rule) -> Group:
    """What anchors and regions learn."""
    return Group(
        slot,
        ("MaxIoUAssigner",),
        (
            *rules,
            fixed("ignore_iof_thr", -1, why="crowd regions have no effect in training"),
            fixed("ignore_wrt_candidates", True, why="crowd regions have no effect in training"),
            fixed("gt_max_assign_all", True, why="all best anchors are claimed"),
            *follows("gpu_assign_thr", "iou_calculator", "perm_repeat_gt_cfg", why=LEARNT),
        ),
        assumed="MaxIoUAssigner",
    )


def _border(value: Any) -> float | None:
    return None if value < 0 else float(value)


def anchor_training(slot: str, into: str) -> tuple[Group, ...]:
    """Which anchors train, and what they learn."""
    return (
        assigner(
            f"{slot}.assigner",
            Rule("pos_iou_thr", f"{into}.positive_iou"),
            Rule("neg_iou_thr", f"{into}.negative_iou"),
            Rule("min_pos_iou match_low_quality", f"{into}.min_positive_iou", low_quality, absent=None),
        ),
        Group(
            slot,
            (),
            (
                Rule("allowed_border", f"{into}.allowed_border_pixels", _border, absent=0),
                fixed("pos_weight", -1, 0, why=ONE),
                *follows("debug", "center_ratio", "ignore_ratio", why=LEARNT),
                Rule("smoothl1_beta", f"{into}.box_loss", _smooth),
            ),
        ),
    )


def nms(slot: str, target: str, soft: str | None) -> tuple[Group, ...]:
    """Suppression; ``soft`` is the key of the soft one, where there may be one."""
    overlap = Rule("iou_threshold", target)
    others = follows("max_num", "split_thr", "class_agnostic", why=LEARNT)
    hard = Group(slot, ("nms",), (overlap, *others), assumed="nms")
    if soft is None:
        return (hard,)
    decay = one_of({"linear": "linear", "gaussian": "gaussian"}, why="linear or gaussian")
    softly = Group(
        slot,
        ("soft_nms",),
        (
            overlap,
            Rule("min_score", f"{soft}.min_score", absent=0.001),
            Rule("method", f"{soft}.decay", decay, absent="linear"),
            Rule("sigma", f"{soft}.sigma", absent=0.5),
        ),
        gives={soft: {}},
    )
    return (hard, softly)
