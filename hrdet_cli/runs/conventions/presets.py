"""Presets for weights of other code: those of whoever wrote them that describe the same detector."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType

from hrdet_cli.engine.weights.backbones import Backbone
from hrdet_cli.engine.weights.naming.caffe2 import CAFFE2
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.engine.weights.naming.detectron2 import DETECTRON2
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from hrdet_cli.specs.backbone import HRNetBackboneSpec, ResNetBackboneSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.presets import all_presets

_FOLDER: Mapping[Writer, str] = MappingProxyType(
    {
        MMDETECTION: "mmdetection",
        YEAR_2019: "year-2019",
        TORCHVISION: "torchvision",
        DETECTRON2: "detectron2",
    }
)
"""Where the presets for a writer's detectors are."""
_RECIPES: Mapping[str, str] = MappingProxyType(
    {
        **{f"w{width}": f"hrnet-w{width}" for width in (18, 32, 40)},
        "50": "r50-fpn-syncbn",
        "101": "mmdet3-r101-fpn",
    }
)
"""Where to start with a backbone alone."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A preset and what it describes.

    Attributes:
        style: Which convolution of ResNet's blocks has the stride; None of other backbones.
    """

    name: str
    contents: Contents
    style: str | None
    spec: ExperimentSpec


def likely_preset(writer: Writer, contents: Contents, *, style: str | None) -> str | None:
    """The preset that weights were probably made for.

    Args:
        writer: Who wrote them.
        contents: What is in them.
        style: Which convolution of ResNet's blocks has the stride, where that is known: ``pytorch`` or
            ``caffe``.

    Returns:
        None where there is none with their head and their backbone. For masks that no preset has, that of the
        same boxes.
    """
    if contents.backbone is None:
        return None
    if not contents.is_detector:
        if style == "caffe" or writer == CAFFE2:
            faster = replace(contents, head="faster_rcnn")
            return _first_alike(_FOLDER[MMDETECTION], faster, style="caffe")
        return _RECIPES.get(contents.backbone.variant)
    if writer not in _FOLDER:
        return None
    of_boxes = replace(contents, has_masks=False)
    wanted = (contents, of_boxes) if not contents.has_mask_flow else (contents,)
    found = (_first_alike(_FOLDER[writer], alike, style=style) for alike in wanted)
    return next((name for name in found if name), None)


def conventions_of(writer: Writer, contents: Contents, *, style: str | None = None) -> ExperimentSpec | None:
    """A preset with the conventions of whoever wrote a detector: that of the most similar one.

    Args:
        writer: Who wrote it.
        contents: What is in it; the same head counts most, then the same backbone.
        style: Which convolution of ResNet's blocks has the stride, which counts last.
    """

    def likeness(preset: _Described) -> tuple[bool, bool, bool]:
        is_same_head = _head(preset.contents) == _head(contents)
        return is_same_head, preset.contents.backbone == contents.backbone, preset.style == style

    described = _presets_in(_FOLDER[writer]) if contents.is_detector and writer in _FOLDER else ()
    preset = max(described, key=likeness, default=None)  # the first of those that are most alike
    return None if preset is None else preset.spec


def contents_of_model(model: ModelSpec) -> Contents:
    """What weights of a model hold."""
    values = dict(leaves(model.head.model_dump()))
    behind = {**values, "neck.norm": model.neck.norm}
    return Contents(
        backbone=_backbone_of(model.backbone),
        head=model.head.kind,
        has_masks=model.head.has_masks,
        has_mask_flow=values.get("mask.flow", False),
        has_semantic_head=any(key.startswith("semantic.") for key in values),
        has_norms=any(value is not None for key, value in behind.items() if key.rpartition(".")[2] == "norm"),
    )


def _backbone_of(backbone: HRNetBackboneSpec | ResNetBackboneSpec) -> Backbone:
    if isinstance(backbone, HRNetBackboneSpec):
        return Backbone("hrnet", backbone.width)
    groups = f"x{backbone.depth}-{backbone.cardinality}x{backbone.resolved_group_width}d"
    network = str(backbone.depth) if backbone.cardinality == 1 else groups
    deformable = {"v1": "-dconv", "v2": "-mdconv"}
    return Backbone(
        "resnet", network + ("" if backbone.deformable is None else deformable[backbone.deformable.version])
    )


def _first_alike(folder: str, contents: Contents, *, style: str | None) -> str | None:
    """Of presets that describe these contents the one with the shortest name; pytorch's style if in doubt."""
    alike = [preset for preset in _presets_in(folder) if preset.contents == contents]
    in_style = [preset for preset in alike if preset.style in (None, style or "pytorch")]
    return min((preset.name for preset in in_style or alike), key=len, default=None)


def _head(contents: Contents) -> Contents:
    return replace(contents, backbone=None)


@cache
def _presets_in(folder: str) -> tuple[_Described, ...]:
    return tuple(
        _describe(preset.name) for preset in all_presets().values() if preset.path.parent.name == folder
    )


def _describe(name: str) -> _Described:
    spec = load_spec(preset=name).spec
    backbone = spec.model.backbone
    style = None if isinstance(backbone, HRNetBackboneSpec) else backbone.style
    return _Described(name, contents_of_model(spec.model), style, spec)
