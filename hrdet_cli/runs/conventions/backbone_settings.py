"""Backbones as weights tell them, and what says the same in a spec."""

import re
from collections.abc import Mapping
from typing import get_args

from hrdet_cli.engine.weights.backbones import Backbone
from hrdet_cli.specs.backbone import HRNetBackboneSpec, ResNetBackboneSpec

_RESNET = re.compile(r"x?(\d+)(?:-(\d+)x(\d+)d)?(?:-(m?dconv))?")
"""Depth, groups, the width of each, and what convolutions are deformable."""
_HRNET_WIDTHS = get_args(HRNetBackboneSpec.model_fields["width"].annotation)


def backbone_of(backbone: HRNetBackboneSpec | ResNetBackboneSpec) -> Backbone:
    """The backbone of a spec, as weights tell it."""
    if isinstance(backbone, HRNetBackboneSpec):
        return Backbone("hrnet", backbone.width)
    groups = f"x{backbone.depth}-{backbone.cardinality}x{backbone.resolved_group_width}d"
    network = str(backbone.depth) if backbone.cardinality == 1 else groups
    deformable = {"v1": "-dconv", "v2": "-mdconv"}
    return Backbone(
        "resnet", network + ("" if backbone.deformable is None else deformable[backbone.deformable.version])
    )


def settings_for(backbone: Backbone, *, instead_of: Backbone | None) -> tuple[str, ...] | None:
    """What makes a spec's backbone another one; None of another kind, or of a width that no spec has."""
    if instead_of is None or backbone.kind != instead_of.kind:
        return None
    if backbone.kind == "hrnet" and backbone.variant not in _HRNET_WIDTHS:
        return None
    old = _values_of(instead_of)
    return tuple(
        f"model.backbone.{key}={value}" for key, value in _values_of(backbone).items() if old[key] != value
    )


def _values_of(backbone: Backbone) -> Mapping[str, str]:
    """What a spec says of it, in YAML."""
    if backbone.kind == "hrnet":
        return {"width": backbone.variant}
    found = _RESNET.fullmatch(backbone.variant)
    depth, cardinality, group_width, deformable = found.groups("") if found else ("", "", "", "")
    versions = {"dconv": "v1", "mdconv": "v2"}
    return {
        "depth": depth,
        "cardinality": cardinality or "1",
        "group_width": group_width or "null",
        "deformable.version": versions.get(deformable, "null"),
    }
