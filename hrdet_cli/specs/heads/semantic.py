"""The semantic branch of HTC."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from hrdet_cli.specs.base import Spec


class SemanticSpec(Spec):
    """Semantic branch (arXiv:1901.07518): tells what each pixel belongs to, and regions see its features."""

    num_labels: Annotated[int, Field(gt=0, lt=256)] = 183
    """Labels in `data.train.label_maps`, counted from 0; COCO's things and stuff have 183."""
    num_convs: NonNegativeInt = 4
    """3x3 convolutions, of as many channels as the pyramid."""
    pool_cells: PositiveInt = 14
    """RoIAlign gives a grid of this many cells a side, averaged to those of boxes and of masks and added."""
    pool_sampling_ratio: NonNegativeInt = 2
    """Samples per cell and axis; 0 adapts to the region's size, as mmdetection 3 does."""
    pool_aligned: bool = True
    """Shift by half a pixel so that cells are centred, as RoIAlign has it since 2019; false as before."""
    loss_weight: PositiveFloat = 0.2
    """Factor of the cross entropy, which is the mean over all pixels, unlabelled ones among them."""
