"""Rules of necks."""

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

PARTS = "follows from the other parts"
_FINEST = "hrdet's levels begin at stride 4 before regions, and at 8 where all cells predict"


def part_norm(value: Any) -> Any:
    """The norm of a neck or a head, of its norm_cfg."""
    kind = None if value is None else value.get("type")
    if kind == "GN" and value.get("num_groups", 32) != 32:
        raise OtherNetworkError("hrdet's group norms of necks and heads have 32 groups")
    table = {None: None, "BN": "batch", "SyncBN": "batch", "MMSyncBN": "batch", "GN": "group"}
    if kind not in table:
        raise OtherNetworkError(f"hrdet has no norm {kind} here; it has BN, SyncBN and GN")
    return table[kind]


def _is_dense(known: Known) -> bool:
    return known.get("model.bbox_head") is not None


def _start_level(value: Any, *, known: Known) -> object:
    if value != (1 if _is_dense(known) else 0):
        raise OtherNetworkError(_FINEST)
    return UNSET


def _coarse_from(extra: Any, on_inputs: Any, *, known: Known) -> Any:
    """What FPN makes its coarse levels of."""
    if not _is_dense(known):
        if extra:
            raise OtherNetworkError("hrdet pools the coarsest level where regions are looked at")
        return UNSET
    if extra is True:
        extra = "on_output" if on_inputs is False else "on_input"
    if extra not in ("on_input", "on_output"):
        raise OtherNetworkError("hrdet makes coarse levels on_input or on_output")
    return {"on_input": "backbone", "on_output": "neck"}[extra]


def _coarse_relu(value: Any, *, known: Known) -> Any:
    return bool(value) if _is_dense(known) else UNSET


def _stride(value: Any, *, known: Known) -> object:
    if value != (2 if _is_dense(known) else 1):
        raise OtherNetworkError(_FINEST)
    return UNSET


_EVERY_NECK = (
    Rule("out_channels", "model.neck.channels"),
    fixed("num_outs", 5, why="hrdet has five levels", is_network=True),
    *follows("in_channels", why=PARTS),
    *follows("init_cfg", why="weights that are loaded have their own"),
    fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
)
NECKS = (
    Group(
        "model.neck",
        ("FPN",),
        (
            *_EVERY_NECK,
            Rule("norm_cfg", "model.neck.norm", part_norm, absent=None),
            Rule("start_level", None, _start_level, sees=True, absent=0, why=PARTS),
            fixed("end_level", -1, 3, why="all maps are taken", is_network=True),
            Rule(
                "add_extra_convs extra_convs_on_inputs",
                "model.neck.coarse_from",
                _coarse_from,
                sees=True,
                absent=None,
            ),
            Rule("relu_before_extra_convs", "model.neck.coarse_relu", _coarse_relu, sees=True, absent=False),
            fixed("no_norm_on_lateral", False, why="norms are everywhere or nowhere", is_network=True),
            fixed("act_cfg", None, why="no activation follows", is_network=True),
            fixed("activation", None, why="no activation follows", is_network=True),
            fixed("upsample_cfg.mode", "nearest", why="FPN takes the nearest pixel", is_network=True),
        ),
        is_network=True,
    ),
    Group(
        "model.neck",
        ("HRFPN",),
        (
            *_EVERY_NECK,
            Rule(
                "pooling_type",
                "model.neck.pooling",
                one_of({"AVG": "average", "MAX": "max"}, why="AVG or MAX", is_network=True),
                absent="AVG",
            ),
            Rule("stride", None, _stride, sees=True, absent=1, why=PARTS),
            *follows("norm_cfg", "with_cp", why="mmdetection's HRFPN has no norm"),
        ),
        is_network=True,
    ),
)
"""HRFPN and FPN."""
