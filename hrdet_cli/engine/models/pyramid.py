"""What the trunk of a detector hands to its head."""

from dataclasses import dataclass

from torch import Tensor

from hrdet_cli.engine.norm.valid_area import ValidArea


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Features of N pictures at several strides, finest first.

    Attributes:
        levels: ``(N, C, H / s, W / s)`` for each stride s, in the dtype of the network. Whether the last,
            incomplete row and column of a level are there is the neck's to say.
        strides: Picture pixels per feature pixel of each level.
        area: Where the pictures are, if nothing is to depend on the padding, which is zero on all levels
            then; None where it may.
    """

    levels: tuple[Tensor, ...]
    strides: tuple[int, ...]
    area: ValidArea | None = None
