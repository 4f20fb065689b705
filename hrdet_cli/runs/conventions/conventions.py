"""Conventions that tensors do not show: what a file says about them, and which preset has them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from torch import Tensor

from hrdet_cli.engine.weights.names import TIMM, TORCHVISION
from hrdet_cli.engine.weights.naming.caffe2 import CAFFE2
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.engine.weights.naming.detectron2 import DETECTRON2
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.published.table import published_as
from hrdet_cli.engine.weights.reading import WeightsFile
from hrdet_cli.runs.conventions.presets import (
    LikelyPreset,
    contents_of_model,
    conventions_of,
    likely_preset,
)
from hrdet_cli.specs.backbone import ResNetBackboneSpec
from hrdet_cli.specs.base import Spec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.model import ModelSpec

_CAFFE_NAMES = ("caffe", "msra")
_TOLERANCE = 0.01
_NUM_COLOURS = 3
_SEEING = (
    *("box_corners", "anchor_offset", "round_anchors", "pool_aligned", "pool_sampling_ratio"),
    *("distances", "centreness_from", "score_rule"),
)
"""Names of keys that decide where boxes lie and what is seen of them; losses and sampling do not count."""
_OF_PIXELS = ("style", "pixel_order", "pixel_std")
"""Names of keys that decide which pixels a network sees. Detectron2's files no longer say them, and its
ResNeXts have others than its ResNets, of which the presets are."""
_FINDING = (
    *_SEEING,
    *("style", "pixel_order", "pixel_mean", "pixel_std"),
    "anchor_scale",
    *("anchor_aspect_ratios", "anchor_scales_per_octave", "anchor_step", "whole_anchor_sides"),
    *("point_offset", "point_step"),
    *("interpolation", "pooling", "coarse_from", "coarse_relu"),
    *("box_means", "box_stds", "pool_cells", "class_agnostic_boxes", "paste", "average"),
    "epsilon",
)
"""What a preset of mmdetection 3's shows of its configurations; widths show in the tensors."""


@dataclass(frozen=True, slots=True)
class Conventions:
    """What is known of how a network was trained; None where nothing says.

    Attributes:
        style: Which convolution of ResNet's blocks has the stride, ``pytorch`` or ``caffe``.
        pixel_order: ``rgb`` or ``bgr``.
        pixel_std: Divisors of the colours, the smallest first.
        head: Values of the head, by key.
    """

    style: str | None = None
    pixel_order: str | None = None
    pixel_std: tuple[float, ...] | None = None
    head: Mapping[str, str] = field(default_factory=dict)


def stated_conventions(file: WeightsFile, writer: Writer) -> Conventions:
    """What mmdetection's configuration in a file says, detectron2's constants, or else the file's name."""
    text = file.config_text
    if text is None:
        if (of_pixels := _conventions_of_pixels(file.tensors)) is not None:
            return of_pixels
        is_caffe = any(word in PurePath(file.source).name.lower() for word in _CAFFE_NAMES)
        if is_caffe or writer == CAFFE2:
            return Conventions("caffe", "bgr")
        return Conventions("pytorch", "rgb") if _is_of_torchvision(file.source) else Conventions()
    style = re.search(r"""style=['"](caffe|pytorch)['"]""", text)
    to_rgb = re.search(r"to_rgb=(True|False)", text)  # of img_norm_cfg, and the end of bgr_to_rgb
    std = re.search(r"std=\[([-\d., \n]+)\]", text)
    return Conventions(
        style=style and style[1],
        pixel_order=to_rgb and {"True": "rgb", "False": "bgr"}[to_rgb[1]],
        pixel_std=std and _numbers(std[1]),
        head=_fcos_conventions(text) if "FCOSHead" in text else {},
    )


def _is_of_torchvision(source: str) -> bool:
    """Whether weights are torchvision's or timm's, by their name or the file's; their ResNets are alike."""
    published = published_as(source)
    is_published = published is not None and published.publisher == "torchvision"
    return is_published or source.startswith((TORCHVISION, TIMM))


def _fcos_conventions(text: str) -> dict[str, str]:
    """What later configurations of mmdetection's FCOS have otherwise than the published one."""
    return {
        "distances": "strides" if "norm_on_bbox=True" in text else "exponential",
        "centreness_from": "boxes" if "centerness_on_reg=True" in text else "classes",
    }


def _conventions_of_pixels(tensors: Mapping[str, Tensor]) -> Conventions | None:
    """Those of the colours' means and divisors that detectron2's older files hold; None where there are none.

    Blue has the smallest mean. Networks of caffe's style were trained with divisors of 1.
    """
    mean, std = tensors.get("pixel_mean"), tensors.get("pixel_std")
    if mean is None or std is None or not mean.numel() == std.numel() == _NUM_COLOURS:
        return None
    divisors = tuple(sorted(std.flatten().tolist()))
    return Conventions(
        style="caffe" if _alike(divisors, (1, 1, 1)) else "pytorch",
        pixel_order="bgr" if mean.flatten()[0] < mean.flatten()[-1] else "rgb",
        pixel_std=divisors,
    )


def contradictions(file: WeightsFile, writer: Writer, contents: Contents, model: ModelSpec) -> Iterator[str]:
    """What a file says about itself, or its writer has, and a spec has otherwise, a sentence each.

    Args:
        file: The weights.
        writer: Who wrote them.
        contents: What is in them.
        model: What they are loaded into.
    """
    stated = stated_conventions(file, writer)
    if differences := [*_unlike_stated(model, stated, file)]:
        preset = preset_for(file, writer, contents)
        fits = preset is not None and not [*_unlike_stated(preset.load().model, stated, file)]
        yield (
            f"weights {file.source} were trained with {', '.join(differences)}: results will be poor"
            + (f"; preset {preset} has their conventions" if fits else "")
        )
    differences = []
    if (theirs := conventions_of(writer, contents)) is not None:
        is_silent = writer == DETECTRON2 and stated == Conventions()
        is_same_backbone = contents_of_model(theirs.model).backbone == contents.backbone
        names = (*_SEEING, *_OF_PIXELS) if is_silent and is_same_backbone else _SEEING
        differences = [
            f"model.{key} {wanted}, not {found}" for key, found, wanted in _unlike(model, theirs.model, names)
        ]
    if differences:
        preset = preset_for(file, writer, contents)
        yield (
            f"weights {file.source} are of {writer.name}, which has {', '.join(differences)}: results "
            f"may be poor{f'; preset {preset} has its conventions' if preset else ''}"
        )


def unlike_its_run(file: WeightsFile, theirs: ModelSpec, model: ModelSpec) -> Iterator[str]:
    """What the run that left a checkpoint had and a model has otherwise, in one sentence if anything.

    Args:
        file: The checkpoint.
        theirs: The model of its spec.
        model: What it is loaded into.
    """
    names = (*_SEEING, *_OF_PIXELS, "pixel_mean")
    differences = [
        f"model.{key} {wanted}, not {found}" for key, found, wanted in _unlike(model, theirs, names)
    ]
    if differences:
        yield f"weights {file.source} were trained with {', '.join(differences)}: results may be poor"


def _unlike_stated(model: ModelSpec, stated: Conventions, file: WeightsFile) -> Iterator[str]:
    """What a file says about itself and a model has otherwise, in a few words each."""
    style = _style(model)
    if style is not None and stated.style not in (None, style):
        yield f"model.backbone.style {stated.style}, not {style}"
    says_colours = style is not None or file.config_text is not None or stated.pixel_std is not None
    if says_colours and stated.pixel_order not in (None, model.pixel_order):
        yield f"model.pixel_order {stated.pixel_order}, not {model.pixel_order}"
    if stated.pixel_std is not None and not _alike(stated.pixel_std, sorted(model.pixel_std)):
        yield f"model.pixel_std {list(stated.pixel_std)}, not {list(model.pixel_std)}"
    values = dict(leaves(model.head.model_dump()))
    for key, value in stated.head.items():
        if key in values and values[key] != value:
            yield f"model.head.{key} {value}, not {values[key]}"


def _style(model: ModelSpec) -> str | None:
    """Which convolution of a ResNet's blocks has the stride; None of other backbones."""
    return model.backbone.style if isinstance(model.backbone, ResNetBackboneSpec) else None


def unlike_mmdetection(spec: ExperimentSpec) -> Iterator[str]:
    """Values that decide what a detector finds and that mmdetection's configurations have otherwise."""
    theirs = conventions_of(MMDETECTION, contents_of_model(spec.model), style=_style(spec.model))
    for key, found, wanted in () if theirs is None else _unlike(spec, theirs, _FINDING):
        yield f"{key} {found} (there {wanted})"


def _unlike(ours: Spec, theirs: Spec, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Dotted keys of some names that both have, with our value and theirs where these differ."""
    wanted_by_key = dict(leaves(theirs.model_dump()))
    for key, found in leaves(ours.model_dump()):
        wanted = wanted_by_key.get(key, found)
        if key.rpartition(".")[2] in names and found != wanted:
            yield key, _as_text(found), _as_text(wanted)


def _as_text(value: object) -> str:
    return str(list(value) if isinstance(value, tuple) else value).lower()


def preset_for(file: WeightsFile, writer: Writer, contents: Contents) -> LikelyPreset | None:
    """The preset that a file's weights were probably made for; None where there is none.

    Args:
        file: The weights.
        writer: Who wrote them.
        contents: What is in them.
    """
    return likely_preset(writer, contents, style=stated_conventions(file, writer).style)


def _numbers(text: str) -> tuple[float, ...] | None:
    try:
        return tuple(sorted(float(number) for number in text.split(",") if number.strip()))
    except ValueError:
        return None


def _alike(first: Sequence[float], second: Sequence[float]) -> bool:
    return len(first) == len(second) and all(
        abs(a - b) <= _TOLERANCE for a, b in zip(first, second, strict=True)
    )
