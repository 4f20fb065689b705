"""Names of layers in two spellings, as pairs that are read in either direction."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from torch import Tensor

Tensors = Mapping[str, Tensor]
"""By their keys."""


@dataclass(frozen=True, slots=True)
class LayerNames:
    """What one tensor, one layer, or a part with all that is in it, is called.

    ``{}`` stands for a number, such as that of a level; both names have them in the same order.

    Attributes:
        theirs: What the writer of a file calls it.
        ours: What it is called in our detector.
        has_statistics: Of two spellings of theirs for one of ours, that of layers with running statistics, or
            without; None where that makes no difference.
    """

    theirs: str
    ours: str
    has_statistics: bool | None = None


def numbered_convs(theirs: str, ours: str, *, step: int, num_convs: int = 4) -> Iterator[LayerNames]:
    """Convolutions in a row of modules, where norms and ReLUs have numbers too.

    Args:
        theirs: The row.
        ours: Our tower of convolutions.
        step: From one convolution to the next: 2 with a ReLU behind each, 3 with a norm and a ReLU.
        num_convs: At most so many.
    """
    for index in range(num_convs):
        yield LayerNames(f"{theirs}.{index * step}", f"{ours}.{index}")
        if step > 2:
            yield LayerNames(f"{theirs}.{index * step + 1}", f"{ours}.{index}.norm")


def renamed_to_ours(tensors: Tensors, names: Sequence[LayerNames]) -> dict[str, Tensor]:
    """Put our names of layers in the place of theirs; a key that starts with none of them stays.

    Args:
        tensors: By their keys.
        names: The first one that a key starts with counts.
    """
    return {_name_in_ours(key, names): tensor for key, tensor in tensors.items()}


def renamed_to_theirs(tensors: Tensors, names: Sequence[LayerNames]) -> dict[str, Tensor]:
    """Put their names of layers in the place of ours: the inverse of `renamed_to_ours`.

    Args:
        tensors: By our keys.
        names: The first one that a key starts with counts, so of several spellings of theirs the first.
    """
    return {_name_in_theirs(key, names, tensors): tensor for key, tensor in tensors.items()}


def _name_in_ours(key: str, names: Sequence[LayerNames]) -> str:
    for layer in names:
        if found := _pattern(layer.theirs).match(key):
            return f"{layer.ours.format(*found.groups())}{key[found.end() :]}"
    return key


def _name_in_theirs(key: str, names: Sequence[LayerNames], tensors: Tensors) -> str:
    for layer in names:
        if (found := _pattern(layer.ours).match(key)) and layer.has_statistics in (
            None,
            f"{found[0]}.running_mean" in tensors,
        ):
            return f"{layer.theirs.format(*found.groups())}{key[found.end() :]}"
    return key


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.escape(name).replace(r"\{\}", r"(\d+)") + r"(?=\.|\Z)")
