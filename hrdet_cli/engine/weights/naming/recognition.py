"""Who wrote weights and what is in them, by nothing but the names and shapes of the tensors."""

import re
from typing import Literal

from torch import Tensor

from hrdet_cli.engine.weights.naming.caffe2 import CAFFE2
from hrdet_cli.engine.weights.naming.classes import with_background_last
from hrdet_cli.engine.weights.naming.contents import Contents, contents_of
from hrdet_cli.engine.weights.naming.detectron2 import DETECTRON2
from hrdet_cli.engine.weights.naming.hrdet import HRDET
from hrdet_cli.engine.weights.naming.imagenet import IMAGENET
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.engine.weights.naming.writer import Writer
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from hrdet_cli.errors import WeightsError

WRITERS = (HRDET, TORCHVISION, DETECTRON2, YEAR_2019, MMDETECTION, IMAGENET, CAFFE2)
"""All that are known; a file is the first one's whose names it has."""

_NUM_KEYS_SHOWN = 5
_HEAD = re.compile(r"(?:bbox|roi|mask|panoptic)_head\.|roi_heads\.")
"""How keys of heads start, but for ``head``, which is that of classifiers too."""
_ACCEPTED = (
    "HRNetV2 and ResNet backbones, and Faster, Mask and Cascade R-CNN, HTC, RetinaNet, FCOS and region "
    "proposal networks on them, of mmdetection, HRNet-Object-Detection (2019), torchvision, detectron2 and "
    "hrdet"
)


def recognise(tensors: Tensors, *, source: str | None = None) -> tuple[Writer, Contents]:
    """Tell who wrote weights and what is in them.

    Args:
        tensors: By key, without what wraps the network (``module.`` and the like).
        source: What to call them in messages: the file or name that they come from, where there is one.

    Raises:
        WeightsError: They are nobody's that is known here, or of a detector that hrdet has no head for.
    """
    try:
        writer = _writer_of(tensors)
    except WeightsError as error:
        raise WeightsError(str(error) if source is None else f"weights {source}: {error}") from error
    return writer, contents_of(writer.renamed(tensors))


def to_ours(
    tensors: Tensors, writer: Writer, *, background: Literal["auto", "first", "last"] = "auto"
) -> dict[str, Tensor]:
    """Rename tensors to what our detector calls them, and put the background last.

    Names that have no counterpart stay as they are, to be reported as left over. Tensors are shared where
    nothing but their name changes.

    Args:
        tensors: By key, as `recognise` takes them.
        writer: Whom it found.
        background: Which row of a classifier is the background's; ``auto`` leaves that to the writer.

    Returns:
        Tensors by keys that start with the names of a detector's parts, such as ``backbone.`` and ``neck.``.
    """
    of_regions, of_cells = writer.background, writer.dense_background
    if background != "auto":
        of_regions = of_cells = background
    return with_background_last(writer.renamed(tensors), background=of_regions, dense_background=of_cells)


def describe_weights(writer: Writer, contents: Contents) -> str:
    """What weights are, in a few words."""
    return f"{contents} of {writer.name}" if contents.is_detector else str(contents)


def _writer_of(tensors: Tensors) -> Writer:
    if HRDET.wrote(tensors):
        return HRDET
    if (name := _other_head(tensors)) is not None:
        raise WeightsError(
            f"these weights are of {name}, for which hrdet has no head. Known are {_ACCEPTED}."
        )
    for writer in WRITERS:
        if writer.wrote(tensors):
            return writer
    _refuse_unknown_head(tensors)
    telling = [key for key in tensors if not key.startswith("backbone.")] or list(tensors)
    shown = ", ".join(telling[:_NUM_KEYS_SHOWN])
    raise WeightsError(
        f"these weights are of no family that hrdet knows: their {len(tensors)} tensors are called {shown} "
        f"and so on. Known are {_ACCEPTED}."
    )


def _refuse_unknown_head(tensors: Tensors) -> None:
    """Raise for a detector whose head has none of the names that are known."""
    of_head = [key for key in tensors if _HEAD.match(key)]
    if of_head:
        shown = ", ".join(of_head[:_NUM_KEYS_SHOWN])
        raise WeightsError(
            "these weights are of another detector, for which hrdet has no head: the "
            f"{len(of_head)} tensors of its own are called {shown} and so on. Known are {_ACCEPTED}."
        )


def _other_head(tensors: Tensors) -> str | None:
    """Name of a head that tensors show and hrdet has none like."""
    signs = (sign for writer in WRITERS for sign in writer.other_heads)
    return next((name for sign, name in signs if any(re.match(sign, key) for key in tensors)), None)
