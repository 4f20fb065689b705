"""The mask branch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from hrdet_cli.specs.base import Problem, Spec
from hrdet_cli.specs.norm import PartNorm, norm_problems


class MaskSpec(Spec):
    """Mask branch (arXiv:1703.06870): RoIAlign, 3x3 convolutions, and one that doubles the cells a side."""

    pool_cells: PositiveInt = 14
    """RoIAlign gives a grid of this many cells a side; a mask has twice as many."""
    pool_sampling_ratio: NonNegativeInt = 2
    """Samples per cell and axis; 0 adapts to the region's size, as mmdetection 3 does."""
    pool_aligned: bool = True
    """Shift by half a pixel so that cells are centred, as RoIAlign has it since 2019; false as before."""
    num_convs: NonNegativeInt = 4
    """3x3 convolutions in front of the one that doubles the side."""
    channels: PositiveInt = 256
    """Channels of each."""
    norm: PartNorm = None
    """What follows each 3x3 convolution: a batch norm, which becomes what `norm` says, or a group norm."""
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A pixel with at least this probability belongs to a detection's mask."""
    paste: Literal["grid", "torchvision", "whole_pixels"] = "grid"
    """How masks are laid over their boxes: exactly there (mmdetection 2 and 3, detectron2), or resized to
    whole pixels, as torchvision has it or (whole_pixels) the code of 2019."""

    def problems(self) -> Iterator[Problem]:
        """What is said of convolutions that there are not."""
        yield from norm_problems(self.norm, num_convs=self.num_convs)


class CascadeMaskSpec(MaskSpec):
    """Mask branches of a cascade, one for each stage."""

    flow: bool = False
    """Each branch but the first sees what the ones before it make of the same region, too (HTC,
    arXiv:1901.07518)."""
    interleaved: bool = False
    """Each branch is trained on what its box stage has refined, drawn anew (HTC), not on what that stage is
    trained on."""
    average: Literal["all", "last"] = "all"
    """A detection's mask is the mean of all branches', or the last one's alone (mmdetection 3's HTC)."""
