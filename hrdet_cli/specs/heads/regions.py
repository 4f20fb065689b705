"""What is predicted for regions that are cut out of the pyramid."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from hrdet_cli.specs.base import Fraction, Problem
from hrdet_cli.specs.heads.boxes import BoxClamp, BoxLossSpec, BoxMeans, BoxStds, SelectionSpec
from hrdet_cli.specs.norm import PartNorm, norm_problems


class RegionHeadSpec(SelectionSpec):
    """What looks at regions, once or in several stages: RoIAlign, fully connected layers, two outputs."""

    sampling: Literal["random", "ohem"] = "random"
    """Regions that are trained on: drawn ones, or (ohem, arXiv:1604.03540) those whose class loss is largest,
    which costs a look at all of them."""
    num_samples: PositiveInt = 512
    """Regions per picture that are trained on."""
    positive_fraction: Fraction = 0.25
    """Largest share of positives among them."""
    pool_cells: PositiveInt = 7
    """RoIAlign gives a grid of this many cells a side."""
    pool_sampling_ratio: Annotated[int, Field(ge=0)] = 2
    """Samples per cell and axis; 0 adapts to the region's size, as mmdetection 3 does."""
    pool_aligned: bool = True
    """Shift by half a pixel so that cells are centred, as RoIAlign has it since 2019; false as before."""
    num_convs: NonNegativeInt = 0
    """3x3 convolutions before the fully connected layers; torchvision's version 2 has four."""
    conv_channels: PositiveInt = 256
    """Channels of each of them."""
    norm: PartNorm = None
    """What follows each of them: a batch norm, which becomes what `norm` says, or a group norm."""
    num_hidden_layers: Literal[1, 2] = 2
    """Fully connected layers before the classifier and the regressor."""
    hidden_features: PositiveInt = 1024
    """Width of each of them."""
    box_means: BoxMeans = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from the encoded deltas (x, y, width, height)."""
    box_clamp: BoxClamp = "both"
    """A decoded side is at most 62.5 times its region's, and with `both` at least that fraction of it."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1.0)
    """Loss on the deltas of positive regions."""

    def problems(self) -> Iterator[Problem]:
        """What is said of convolutions that there are not."""
        yield from super().problems()
        yield from norm_problems(self.norm, num_convs=self.num_convs)


class RoiHeadSpec(RegionHeadSpec):
    """Region head that looks once: RoIAlign, fully connected layers, a classifier and a box regressor."""

    positive_iou: Fraction = 0.5
    """A region that overlaps a box at least this much is positive, any other negative."""
    min_positive_iou: Fraction | None = None
    """A box's best regions learn this box, whatever else they overlap, if they overlap it at least this much
    (mmdetection's Mask R-CNN); null has no such rule."""
    class_agnostic_boxes: bool = False
    """One box for a region, not one for each class."""
    box_stds: BoxStds = (0.1, 0.1, 0.2, 0.2)
    """Divisors of the encoded deltas after that."""
