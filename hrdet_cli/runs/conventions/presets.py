"""Presets for weights of other code: those of whoever wrote them that describe the same detector."""

from collections.abc import Mapping, Sequence
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
from hrdet_cli.runs.conventions.backbone_settings import backbone_of, settings_for
from hrdet_cli.specs.backbone import HRNetBackboneSpec
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
class LikelyPreset:
    """A preset that weights were probably made for.

    Attributes:
        name: The preset's.
        settings: What to change in it, for a backbone that no preset has.
    """

    name: str
    settings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " --set ".join((self.name, *self.settings))

    def load(self) -> ExperimentSpec:
        """Its spec."""
        return load_spec(preset=self.name, settings=self.settings).spec


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


def likely_preset(writer: Writer, contents: Contents, *, style: str | None) -> LikelyPreset | None:
    """The preset that weights were probably made for.

    Args:
        writer: Who wrote them.
        contents: What is in them.
        style: Which convolution of ResNet's blocks has the stride, where that is known: ``pytorch`` or
            ``caffe``.

    Returns:
        One with their head and their backbone, or else one with their head that can be set to have their
        backbone; None where there is none. For masks that no preset has, that of the same boxes.
    """
    backbone = contents.backbone
    if backbone is None:
        return None
    if not contents.is_detector:
        if style == "caffe" or writer == CAFFE2:
            return _first_alike(_FOLDER[MMDETECTION], replace(contents, head="faster_rcnn"), style="caffe")
        return _recipe_for(backbone)
    if writer not in _FOLDER:
        return None
    # Detectron2's ResNeXts have other colours, divisors and strides than its presets, which are of ResNets.
    can_be_set = writer != DETECTRON2 or not backbone.variant.startswith("x")
    of_boxes = replace(contents, has_masks=False)
    for wanted in (contents,) if contents.has_mask_flow else (contents, of_boxes):
        found = _first_alike(_FOLDER[writer], wanted, style=style)
        if found is None and can_be_set:
            found = _first_settable(_FOLDER[writer], wanted, backbone, style=style)
        if found is not None:
            return found
    return None


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
        backbone=backbone_of(model.backbone),
        head=model.head.kind,
        has_masks=model.head.has_masks,
        has_mask_flow=values.get("mask.flow", False),
        has_semantic_head=any(key.startswith("semantic.") for key in values),
        has_norms=any(value is not None for key, value in behind.items() if key.rpartition(".")[2] == "norm"),
    )


def _recipe_for(backbone: Backbone) -> LikelyPreset | None:
    if (name := _RECIPES.get(backbone.variant)) is not None:
        return LikelyPreset(name)
    network = backbone.variant.removeprefix("x").partition("-")[0]
    name = "hrnet-w40" if backbone.kind == "hrnet" else _RECIPES[network]
    settings = settings_for(backbone, instead_of=backbone_of(load_spec(preset=name).spec.model.backbone))
    return None if settings is None else LikelyPreset(name, settings)


def _first_alike(folder: str, contents: Contents, *, style: str | None) -> LikelyPreset | None:
    """Of presets that describe these contents the one with the shortest name; pytorch's style if in doubt."""
    alike = [preset for preset in _presets_in(folder) if preset.contents == contents]
    name = min((preset.name for preset in _in_style(alike, style)), key=len, default=None)
    return None if name is None else LikelyPreset(name)


def _first_settable(
    folder: str, contents: Contents, backbone: Backbone, *, style: str | None
) -> LikelyPreset | None:
    """Of presets with the head of these contents the one of which least has to be set for a backbone."""
    alike = [preset for preset in _presets_in(folder) if _head(preset.contents) == _head(contents)]
    found = [
        LikelyPreset(preset.name, settings)
        for preset in _in_style(alike, style)
        if (settings := settings_for(backbone, instead_of=preset.contents.backbone)) is not None
    ]
    return min(found, key=lambda preset: (len(preset.settings), len(preset.name)), default=None)


def _in_style(presets: Sequence[_Described], style: str | None) -> Sequence[_Described]:
    """Those of a style, or all where there are none; pytorch's if in doubt."""
    return [preset for preset in presets if preset.style in (None, style or "pytorch")] or presets


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
