"""Rules of backbones and colours."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hrdet_cli.specs.mmdetection.rules import (
    UNSET,
    Group,
    Known,
    NoCounterpartError,
    OtherNetworkError,
    Rule,
    fixed,
    follows,
    one_of,
    without,
)

_FROZEN = "model.backbone.frozen_stages"
_ADDRESS = "https://download.openmmlab.com/pretrain/third_party/"
_FILES: Mapping[str, str] = MappingProxyType(
    {
        "detectron/resnet50_caffe": "resnet50_caffe-788b5fa3.pth",
        "detectron/resnet101_caffe": "resnet101_caffe-3ad79236.pth",
        "detectron2/resnet50_caffe": "resnet50_msra-5891d200.pth",
        "detectron2/resnet101_caffe": "resnet101_msra-6cc46731.pth",
        "detectron2/resnext101_32x8d": "resnext101_32x8d-1516f1aa.pth",
        "resnet50_caffe": "resnet50_caffe-788b5fa3.pth",
        "resnet101_caffe": "resnet101_caffe-3ad79236.pth",
        "resnext50_32x4d": "resnext50-32x4d-0ab1a123.pth",
        "resnext101_32x4d": "resnext101_32x4d-a5af3160.pth",
        "resnext101_64x4d": "resnext101_64x4d-ee2c6f71.pth",
    }
)
"""Backbones that mmdetection calls ``open-mmlab://NAME``; from ``mmengine/hub/openmmlab.json``."""


def weights_of(name: Any) -> Any:
    """What hrdet fetches for a checkpoint as mmdetection names it.

    Raises:
        NoCounterpartError: It is of another project's zoo, or of a network that hrdet has not.
    """
    if name is None:
        return UNSET
    if (found := re.fullmatch(r"open-mmlab://msra/hrnetv2_(w(?:18|30|32|40|44|48|64))", name)) is not None:
        return f"imagenet:hrnetv2_{found[1]}"
    if (found := re.fullmatch(r"(?:torchvision|modelzoo)://(resnet(?:50|101))", name)) is not None:
        return f"torchvision:{found[1]}"
    scheme, separator, inner = name.partition("://")
    if scheme == "open-mmlab" and inner in _FILES:
        return _ADDRESS + _FILES[inner]
    if separator and scheme not in ("https", "http"):
        raise NoCounterpartError("hrdet knows no such weights; give a file or an address as model.weights")
    return name


def _backbone_weights(name: Any, *, known: Known) -> Any:
    return UNSET if known.get("load_from") is not None else weights_of(name)


def _norm_of(kind: Any, requires_grad: Any, frozen: Any, norm_eval: Any, num_groups: Any) -> Any:
    """The section ``norm`` of a backbone's norm_cfg and norm_eval."""
    keeps = norm_eval is None or norm_eval
    if kind == "GN":
        return {"kind": "group", "num_groups": 32 if num_groups is None else num_groups}
    if kind not in (None, "BN", "BN2d", "SyncBN", "MMSyncBN", "naiveSyncBN"):
        raise OtherNetworkError(f"hrdet has no norm {kind}; it has BN, SyncBN and GN")
    if requires_grad is False or frozen:
        if not keeps:
            raise NoCounterpartError("hrdet has no norm that learns statistics but no scale; take norm.kind")
        return {"kind": "frozen"}
    if keeps:
        return {"kind": "batch", "keep_statistics": True}
    return {"kind": "batch", "keep_statistics": False} if kind in (None, "BN", "BN2d") else {"kind": "sync"}


def _width_of(extra: Any) -> str:
    """HRNet's width, if the rest is that of the published networks."""
    width = extra["stage4"]["num_channels"][0]
    wanted = {f"stage{stage}": [width * 2**branch for branch in range(stage)] for stage in (2, 3, 4)}
    modules = {"stage1": 1, "stage2": 1, "stage3": 4, "stage4": 3}
    is_published = all(extra[name]["num_channels"] == channels for name, channels in wanted.items())
    is_published = is_published and all(
        extra[name]["num_modules"] == count and set(extra[name]["num_blocks"]) == {4}
        for name, count in modules.items()
    )
    widths = (18, 30, 32, 40, 44, 48, 64)
    if not is_published or width not in widths:
        raise OtherNetworkError(f"hrdet has HRNetV2 with the widths {', '.join(map(str, widths))} alone")
    return f"w{width}"


def _recomputed_parts(with_cp: Any) -> str:
    return "modules" if with_cp else "off"


def _frozen_stages(value: Any) -> int:
    if value == 0:
        raise NoCounterpartError("hrdet does not freeze the stem alone; set model.backbone.frozen_stages")
    return max(0, int(value))


def _deformable_of(kind: Any, modulated: Any, groups: Any, stages: Any) -> Any:
    """The section of deformable convolutions."""
    if kind is None and modulated is None:
        return UNSET
    version = {None: "v2" if modulated else "v1", "DCN": "v1", "DCNv2": "v2"}.get(kind)
    if version is None or stages is None or stages[0]:
        raise OtherNetworkError("hrdet has DCN and DCNv2 in the stages C3 to C5")
    levels = [level for level, has in zip((3, 4, 5), stages[1:], strict=True) if has]
    version = "v2" if modulated else version
    return {"version": version, "groups": groups or 1, "levels": levels} if levels else UNSET


def _in_rgb(numbers: Any, to_rgb: Any, *, known: Known) -> Any:
    """Numbers for the colours in the order of hrdet, which is red, green, blue whatever the network sees."""
    if numbers is None:
        return UNSET
    return list(numbers) if to_rgb or (to_rgb is None and known.generation < 3) else list(reversed(numbers))


def _pixel_order(value: Any, *, known: Known) -> str:
    return "rgb" if value or (value is None and known.generation < 3) else "bgr"


_COLOURS = Group(
    "model.data_preprocessor",
    (),
    (
        Rule("bgr_to_rgb", "model.pixel_order", _pixel_order, sees=True, absent=None),
        Rule("mean bgr_to_rgb", "model.pixel_mean", _in_rgb, sees=True),
        Rule("std bgr_to_rgb", "model.pixel_std", _in_rgb, sees=True),
        fixed("rgb_to_bgr", False, why="pictures are read as RGB; model.pixel_order turns them"),
        fixed("type", "DetDataPreprocessor", why="hrdet normalises and pads, and nothing else"),
        *follows("pad_mask", "pad_seg", "mask_pad_value", "seg_pad_value", why="padding is no object"),
        *follows("seg_pad_value", "boxtype2tensor", "non_blocking", why="does not change what is learnt"),
    ),
)

_NORM = Rule(
    "norm_cfg.type norm_cfg.requires_grad norm_cfg.frozen norm_eval norm_cfg.num_groups",
    "norm",
    _norm_of,
    absent=None,
)
_EVERY_BACKBONE = (
    _NORM,
    Rule("norm_cfg.eps", "norm.epsilon"),
    fixed("norm_cfg.momentum", 0.1, why="running statistics move by a tenth at each step"),
    Rule("with_cp", "model.activation_checkpointing", _recomputed_parts, absent=False),
    Rule("init_cfg.checkpoint", "model.weights", _backbone_weights, sees=True),
    fixed("init_cfg.type", "Pretrained", why="weights to start from are model.weights"),
    *without("init_cfg.prefix", why="hrdet finds the backbone in a whole detector by itself"),
    fixed("init_cfg", None, why="weights to start from are model.weights"),
    fixed("conv_cfg", None, why="hrdet has plain convolutions here", is_network=True),
    *follows("in_channels", "zero_init_residual", why="does not change what weights make of a picture"),
)
_BACKBONES = (
    Group(
        "model.backbone",
        ("HRNet",),
        (
            Rule("extra", "model.backbone.width", _width_of),
            *_EVERY_BACKBONE,
            fixed("multiscale_output", True, why="all four branches go on", is_network=True),
            fixed("frozen_stages", -1, why="mmdetection's HRNet freezes nothing"),
        ),
        gives={"model.backbone.kind": "hrnet", _FROZEN: 0},
        is_network=True,
    ),
    *(
        Group(
            "model.backbone",
            (name,),
            (
                Rule(
                    "depth",
                    "model.backbone.depth",
                    one_of({50: 50, 101: 101}, why="hrdet has 50 and 101 layers", is_network=True),
                ),
                *groups,
                Rule("frozen_stages", _FROZEN, _frozen_stages, absent=-1),
                Rule("style", "model.backbone.style", absent="pytorch"),
                Rule(
                    "dcn.type dcn.modulated dcn.deform_groups stage_with_dcn",
                    "model.backbone.deformable",
                    _deformable_of,
                ),
                fixed("dcn.fallback_on_stride", False, why="strides are deformable too", is_network=True),
                fixed("dcn", None, why="hrdet has DCN and DCNv2", is_network=True),
                *_EVERY_BACKBONE,
                fixed("num_stages", 4, why="hrdet has four stages", is_network=True),
                fixed("out_indices", [0, 1, 2, 3], why="all four maps go on", is_network=True),
                fixed("strides", [1, 2, 2, 2], why="strides are 4, 8, 16, 32", is_network=True),
                fixed("dilations", [1, 1, 1, 1], why="hrdet has no dilation", is_network=True),
                *(
                    fixed(key, False, None, why="hrdet has the plain ResNet", is_network=True)
                    for key in ("deep_stem", "avg_down", "plugins", "stage_with_gcb", "gcb", "gen_attention")
                ),
                *(fixed(key, 64, why="64 channels", is_network=True) for key in ("stem_channels",)),
                fixed("base_channels", 64, why="64 channels", is_network=True),
            ),
            gives={"model.backbone.kind": "resnet"},
            is_network=True,
        )
        for name, groups in (
            ("ResNet", ()),
            (
                "ResNeXt",
                (
                    Rule("groups", "model.backbone.cardinality"),
                    Rule("base_width", "model.backbone.group_width", absent=4),
                ),
            ),
        )
    ),
)


BACKBONES = (_COLOURS, *_BACKBONES)
"""Colours and backbones."""
