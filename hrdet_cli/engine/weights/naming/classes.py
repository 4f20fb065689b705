"""The rows of layers that belong to classes, by our names of the layers."""

from collections.abc import Iterator

import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Background

_CLASSIFIER = "roi_head.classifier"
_REGRESSOR = "roi_head.regressor"


def num_classes_of(tensors: Tensors) -> int | None:
    """Number of classes, without the background, of tensors by our names; None without a classifier."""
    bias = tensors.get(f"{_CLASSIFIER}.bias")
    return None if bias is None or bias.dim() != 1 or len(bias) == 0 else len(bias) - 1


def with_background_last(tensors: Tensors, *, background: Background | None) -> dict[str, Tensor]:
    """Put the background's row of classifiers last, and drop its boxes, which nobody trains.

    Args:
        tensors: By our names.
        background: Which row it is now.

    Returns:
        All tensors, of which only those that change are copied.
    """
    return {**tensors, **dict(_changed(tensors, first=background == "first"))}


def _changed(tensors: Tensors, *, first: bool) -> Iterator[tuple[str, Tensor]]:
    num_classes = num_classes_of(tensors)
    if num_classes is None:
        return
    for name in ("weight", "bias"):
        classifier = tensors.get(f"{_CLASSIFIER}.{name}")
        if first and classifier is not None and classifier.dim() > 0:
            yield f"{_CLASSIFIER}.{name}", torch.cat((classifier[1:], classifier[:1]))
        regressor = tensors.get(f"{_REGRESSOR}.{name}")
        if regressor is not None and regressor.shape[:1] == (4 * (num_classes + 1),):
            yield f"{_REGRESSOR}.{name}", regressor[4:] if first else regressor[:-4]
