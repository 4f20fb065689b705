"""Whoever writes weights files: how they are known, and what they call what."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import Tensors

Background = Literal["first", "last"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """A program, or a generation of one, that gives tensors names of its own.

    Attributes:
        name: For people.
        wrote: Whether tensors have its names.
        renamed: Gives tensors our names. Those that have no counterpart stay as they are, to be reported as
            left over.
        background: Which row of its classifiers of regions is the background's; None where it has none.
        dense_background: Which row of each anchor of its one-stage heads is; they need none.
        other_heads: How keys of heads start that hrdet has none like, as regular expressions, and what people
            call them.
    """

    name: str
    wrote: Callable[[Tensors], bool]
    renamed: Callable[[Tensors], dict[str, Tensor]]
    background: Background | None
    dense_background: Background | None = None
    other_heads: tuple[tuple[str, str], ...] = ()
