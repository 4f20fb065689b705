"""Families of weights: which program wrote a file, what it calls each tensor, and what we call it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hrdet_cli.errors import WeightsError

Background = Literal["first", "last"]
Tensors = Mapping[str, Tensor]

CLASSIFIER = "roi_head.classifier"
REGRESSOR = "roi_head.regressor"
"""The two layers whose rows are classes, by our names."""

NUM_HRFPN_LEVELS = 5
_NUM_KEYS_SHOWN = 5
_OTHERS: Sequence[tuple[str, str]] = (
    (r"(?:roi_head\.)?bbox_head\.0\.", "a Cascade R-CNN"),
    (
        r"bbox_head\.retina_|head\.classification_head\.cls_logits\.",
        "RetinaNet or another one-stage detector",
    ),
    (r"bbox_head\.conv_", "FCOS, ATSS or another one-stage detector"),
)
"""How keys of detectors start that are none of ours, and what these are called."""
_TORCHVISION_V2 = r"backbone\.fpn\.inner_blocks\.\d\.1\.|roi_heads\.box_head\.\d+\.\d+\."
_ACCEPTED = (
    "HRNetV2 and ResNet backbones, and Faster R-CNN detectors of mmdetection, torchvision's version 1, "
    "HRNet-Object-Detection (2019) and hrdet"
)


@dataclass(frozen=True, slots=True)
class Family:
    """Where weights come from.

    Attributes:
        name: For people.
        is_detector: Whether there is more than a backbone.
        background: Which row of the classifier is the background's; None for a backbone.
    """

    name: str
    is_detector: bool
    background: Background | None


HRNET = Family("HRNetV2 backbone", is_detector=False, background=None)
RESNET = Family("ResNet backbone", is_detector=False, background=None)
OURS = Family("hrdet detector", is_detector=True, background="last")
MMDETECTION = Family("mmdetection 2 or 3 detector", is_detector=True, background="last")
ANCESTOR = Family("mmdetection 0.6 or 1 detector (2019)", is_detector=True, background="first")
TORCHVISION = Family("torchvision detector", is_detector=True, background="first")

_Rules = Sequence[tuple[str, str]]
"""Regular expressions for the whole start of a key, and what replaces it; the first that matches counts."""

_LATER_HEADS: _Rules = (
    (r"rpn_head\.rpn_conv\.", "rpn.conv."),
    (r"rpn_head\.rpn_cls\.", "rpn.objectness."),
    (r"rpn_head\.rpn_reg\.", "rpn.deltas."),
    (r"(?:roi_head\.)?bbox_head\.shared_fcs\.0\.", "roi_head.fc1."),
    (r"(?:roi_head\.)?bbox_head\.shared_fcs\.1\.", "roi_head.fc2."),
    (r"(?:roi_head\.)?bbox_head\.fc_cls\.", f"{CLASSIFIER}."),
    (r"(?:roi_head\.)?bbox_head\.fc_reg\.", f"{REGRESSOR}."),
)
_HRFPN: _Rules = (
    (r"neck\.reduction_conv\.(?:conv|0)\.", "neck.reduction_conv."),  # 0: the ancestor's own HRFPN
    (r"neck\.fpn_convs?\.(\d)\.(?:conv\.)?", r"neck.fpn_convs.\1."),
    *_LATER_HEADS,
)
_FPN: _Rules = (
    (r"neck\.lateral_convs\.(\d)\.conv\.", r"neck.pyramid.inner_blocks.\1.0."),
    (r"neck\.fpn_convs\.(\d)\.conv\.", r"neck.pyramid.layer_blocks.\1.0."),
    *_LATER_HEADS,
)
_OF_TORCHVISION: _Rules = (
    (r"backbone\.body\.", "backbone."),
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(?:0\.)?", r"neck.pyramid.\1_blocks.\2.0."),
    (r"rpn\.head\.conv\.(?:0\.0\.)?(?=weight|bias)", "rpn.conv."),
    (r"rpn\.head\.cls_logits\.", "rpn.objectness."),
    (r"rpn\.head\.bbox_pred\.", "rpn.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "roi_head.fc1."),
    (r"roi_heads\.box_head\.fc7\.", "roi_head.fc2."),
    (r"roi_heads\.box_predictor\.cls_score\.", f"{CLASSIFIER}."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", f"{REGRESSOR}."),
)
_TO_MMDETECTION: _Rules = (
    (r"neck\.reduction_conv\.", "neck.reduction_conv.conv."),
    (r"neck\.fpn_convs\.(\d)\.", r"neck.fpn_convs.\1.conv."),
    (r"neck\.pyramid\.inner_blocks\.(\d)\.0\.", r"neck.lateral_convs.\1.conv."),
    (r"neck\.pyramid\.layer_blocks\.(\d)\.0\.", r"neck.fpn_convs.\1.conv."),
    (r"rpn\.conv\.", "rpn_head.rpn_conv."),
    (r"rpn\.objectness\.", "rpn_head.rpn_cls."),
    (r"rpn\.deltas\.", "rpn_head.rpn_reg."),
    (r"roi_head\.fc1\.", "roi_head.bbox_head.shared_fcs.0."),
    (r"roi_head\.fc2\.", "roi_head.bbox_head.shared_fcs.1."),
    (rf"{re.escape(CLASSIFIER)}\.", "roi_head.bbox_head.fc_cls."),
    (rf"{re.escape(REGRESSOR)}\.", "roi_head.bbox_head.fc_reg."),
)


def recognise(tensors: Tensors, *, source: str | None = None) -> Family:
    """Tell by the names of tensors which program wrote them.

    Args:
        tensors: By key, without what wraps the network (``module.`` and the like).
        source: What to call them in messages: the file or name that they come from, where there is one.

    Raises:
        WeightsError: They are nobody's that is known here.
    """
    try:
        return _family_of(tensors)
    except WeightsError as error:
        raise WeightsError(str(error) if source is None else f"weights {source}: {error}") from error


def _family_of(tensors: Tensors) -> Family:
    if "rpn.objectness.weight" in tensors and f"{CLASSIFIER}.weight" in tensors:
        return OURS
    if any(re.match(_TORCHVISION_V2, key) for key in tensors):
        raise WeightsError(
            "these weights are of torchvision's Faster R-CNN, version 2, which is not known: its pyramid has "
            f"batch norms and its head four convolutions. Known are {_ACCEPTED}."
        )
    if "roi_heads.box_predictor.cls_score.weight" in tensors and "backbone.body.conv1.weight" in tensors:
        return TORCHVISION
    if "roi_head.bbox_head.fc_cls.weight" in tensors:
        return MMDETECTION
    if "bbox_head.fc_cls.weight" in tensors and "rpn_head.rpn_cls.weight" in tensors:
        return ANCESTOR
    for pattern, name in _OTHERS:
        if any(re.match(pattern, key) for key in tensors):
            raise WeightsError(
                f"these weights are of {name}, for which hrdet has no head. Known are {_ACCEPTED}."
            )
    if not any(key.startswith(("rpn", "roi_head", "bbox_head", "mask_head")) for key in tensors):
        for prefix in ("", "backbone."):
            if f"{prefix}stage4.0.branches.0.0.conv1.weight" in tensors:
                return HRNET
            if f"{prefix}layer4.0.conv3.weight" in tensors:
                return RESNET
    telling = [key for key in tensors if not key.startswith("backbone.")] or list(tensors)
    shown = ", ".join(telling[:_NUM_KEYS_SHOWN])
    raise WeightsError(
        f"these weights are of no family that hrdet knows: their {len(tensors)} tensors are called {shown} "
        f"and so on. Known are {_ACCEPTED}."
    )


def to_ours(
    tensors: Tensors, family: Family, *, background: Literal["auto", "first", "last"] = "auto"
) -> dict[str, Tensor]:
    """Rename tensors to what our detector calls them, and put the background last.

    Names that have no counterpart stay as they are, to be reported as left over. Tensors are shared where
    nothing but their name changes.

    Args:
        tensors: By key, as `recognise` takes them.
        family: What it found.
        background: Which row of the classifier is the background's; ``auto`` leaves that to the family.

    Returns:
        Tensors by keys that start with ``backbone.``, ``neck.``, ``rpn.`` and ``roi_head.``; of a backbone
        only the first.
    """
    if not family.is_detector:
        has_prefix = any(key.startswith("backbone.") for key in tensors)
        return dict(tensors) if has_prefix else {f"backbone.{key}": value for key, value in tensors.items()}
    renamed = _rename(_with_own_convs(tensors), _rules(tensors, family))
    place = family.background if background == "auto" else background
    return {**renamed, **dict(_background_last(renamed, first=place == "first"))}


def to_mmdetection(tensors: Tensors) -> dict[str, Tensor]:
    """Rename the tensors of our detector to what mmdetection 3 calls them: the inverse of `to_ours`.

    Args:
        tensors: The ``state_dict`` of a detector, or of a part of it with the part's prefix.
    """
    return _rename(tensors, _TO_MMDETECTION)


def num_classes_of(tensors: Tensors) -> int | None:
    """Number of classes, without the background, of tensors by our names; None without a classifier."""
    bias = tensors.get(f"{CLASSIFIER}.bias")
    return None if bias is None or bias.dim() != 1 or len(bias) == 0 else len(bias) - 1


def _rules(tensors: Tensors, family: Family) -> _Rules:
    if family == OURS:
        return ()
    if family == TORCHVISION:
        return _OF_TORCHVISION
    return _FPN if any(key.startswith("neck.lateral_convs.") for key in tensors) else _HRFPN


def _rename(tensors: Tensors, rules: _Rules) -> dict[str, Tensor]:
    return {_new_key(key, rules): tensor for key, tensor in tensors.items()}


def _new_key(key: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        new_key, num_replaced = re.subn(rf"\A{pattern}", replacement, key)
        if num_replaced:
            return new_key
    return key


def _with_own_convs(tensors: Tensors) -> dict[str, Tensor]:
    """Give each level the convolution that all share in one form of the ancestor's HRFPN."""
    own: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key in ("neck.fpn_conv.weight", "neck.fpn_conv.bias"):
            name = key.rpartition(".")[2]
            own |= {f"neck.fpn_conv.{level}.{name}": tensor for level in range(NUM_HRFPN_LEVELS)}
        else:
            own[key] = tensor
    return own


def _background_last(tensors: Tensors, *, first: bool) -> Iterator[tuple[str, Tensor]]:
    """The classifier's rows with the background last, and the regressor's without any for the background."""
    num_classes = num_classes_of(tensors)
    if num_classes is None:
        return
    for name in ("weight", "bias"):
        classifier = tensors.get(f"{CLASSIFIER}.{name}")
        if first and classifier is not None and classifier.dim() > 0:
            yield f"{CLASSIFIER}.{name}", torch.cat((classifier[1:], classifier[:1]))
        regressor = tensors.get(f"{REGRESSOR}.{name}")
        if regressor is not None and regressor.shape[:1] == (4 * (num_classes + 1),):
            yield f"{REGRESSOR}.{name}", regressor[4:] if first else regressor[:-4]
