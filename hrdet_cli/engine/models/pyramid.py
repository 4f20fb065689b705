"""What the trunk of a detector hands to its head."""

from dataclasses import dataclass

from torch import Tensor

from hrdet_cli.engine.norm.valid_area import ValidArea


@dataclass(frozen=True, slots=True)
class SemanticMaps:
    """What a semantic branch makes of a pyramid: what kind of thing or stuff each pixel belongs to.

    Attributes:
        hidden: ``(N, C, H / 8, W / 8)``, from which the branch tells the kinds of pixels.
        features: ``(N, C, H / 8, W / 8)``, which are added to those of regions.
        stride: Picture pixels per pixel of these maps, 8.
    """

    hidden: Tensor
    features: Tensor
    stride: int


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Features of N pictures at several strides, finest first.

    Attributes:
        levels: ``(N, C, H / s, W / s)`` for each stride s, in the dtype of the network. Whether the last,
            incomplete row and column of a level are there is the neck's to say.
        strides: Picture pixels per feature pixel of each level.
        area: Where the pictures are, if nothing is to depend on the padding, which is zero on all levels
            then; None where it may.
        semantic: Added by a head that has a semantic branch.
    """

    levels: tuple[Tensor, ...]
    strides: tuple[int, ...]
    area: ValidArea | None = None
    semantic: SemanticMaps | None = None
