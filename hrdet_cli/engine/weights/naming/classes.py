"""The rows of layers that belong to classes, by our names of the layers."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Background

_CLASSIFIER = re.compile(r"(roi_head\.(?:stages\.\d+\.)?)classifier\.bias")
"""Of regions: a row for each class, and the background's."""
_MASK_LOGITS = re.compile(r"mask_head\.(?:stages\.\d+\.)?logits\.(?:weight|bias)")
_DENSE_LOGITS = ("retina_head.class_logits", "fcos_head.class_logits")
"""A row for each class of each anchor at a cell, anchor by anchor."""
_DELTAS = "retina_head.deltas.bias"
_NUM_SIDES = 4


def num_classes_of(tensors: Tensors) -> int | None:
    """Number of classes, without the background, of tensors by our names.

    Args:
        tensors: Whose background is where ours is.

    Returns:
        None where nothing tells classes apart.
    """
    for key, bias in tensors.items():
        if bias.dim() != 1 or len(bias) == 0:
            continue
        if _CLASSIFIER.fullmatch(key):
            return len(bias) - 1
        if key.removesuffix(".bias") in _DENSE_LOGITS and key.endswith(".bias"):
            return len(bias) // num_anchors_of(tensors)
    return None


def num_anchors_of(tensors: Tensors) -> int:
    """How many anchors a one-stage head has at each cell, by our names; 1 of a head without anchors."""
    deltas = tensors.get(_DELTAS)
    return 1 if deltas is None or deltas.dim() != 1 else max(1, len(deltas) // _NUM_SIDES)


def with_background_last(
    tensors: Tensors, *, background: Background | None, dense_background: Background | None
) -> dict[str, Tensor]:
    """Put the background's row of classifiers last, and drop what nobody trains: its boxes and masks.

    One-stage heads have no background, and lose the row that some have for it all the same.

    Args:
        tensors: By our names.
        background: Which row of a classifier of regions it is now.
        dense_background: Which row of each anchor; None where there is none.

    Returns:
        All tensors, of which only those that change are copied.
    """
    return {
        **tensors,
        **dict(_of_regions(tensors, first=background == "first")),
        **(dict(_of_cells(tensors, first=dense_background == "first")) if dense_background else {}),
    }


def _of_regions(tensors: Tensors, *, first: bool) -> Iterator[tuple[str, Tensor]]:
    num_classes = num_classes_of(tensors)
    if num_classes is None:
        return
    for key in tensors:
        if found := _CLASSIFIER.fullmatch(key):
            yield from _of_box_head(tensors, found[1], num_classes=num_classes, first=first)
        elif _MASK_LOGITS.fullmatch(key) and tensors[key].shape[:1] == (num_classes + 1,):
            yield key, tensors[key][1:] if first else tensors[key][:-1]


def _of_box_head(
    tensors: Tensors, part: str, *, num_classes: int, first: bool
) -> Iterator[tuple[str, Tensor]]:
    for name in ("weight", "bias"):
        classifier = tensors.get(f"{part}classifier.{name}")
        if first and classifier is not None and classifier.dim() > 0:
            yield f"{part}classifier.{name}", torch.cat((classifier[1:], classifier[:1]))
        regressor = tensors.get(f"{part}regressor.{name}")
        if regressor is not None and regressor.shape[:1] == (_NUM_SIDES * (num_classes + 1),):
            yield f"{part}regressor.{name}", regressor[_NUM_SIDES:] if first else regressor[:-_NUM_SIDES]


def _of_cells(tensors: Tensors, *, first: bool) -> Iterator[tuple[str, Tensor]]:
    num_anchors = num_anchors_of(tensors)
    for key in (f"{layer}.{name}" for layer in _DENSE_LOGITS for name in ("weight", "bias")):
        logits = tensors.get(key)
        if logits is not None and logits.dim() > 0 and len(logits) % num_anchors == 0 and len(logits) > 0:
            rows = logits.reshape(num_anchors, -1, *logits.shape[1:])
            yield key, (rows[:, 1:] if first else rows[:, :-1]).flatten(0, 1)
