"""The necks: HRFPN behind HRNet, FPN behind ResNet."""

from typing import Literal

from pydantic import PositiveInt

from hrdet_cli.specs.base import Spec
from hrdet_cli.specs.norm import PartNorm


class NeckSpec(Spec):
    """The feature pyramid, whose kind and levels follow from backbone and head."""

    channels: PositiveInt = 256
    """Channels of every level."""
    norm: PartNorm = None
    """What follows each convolution: a batch norm, which becomes what `norm` says, or a group norm."""
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """How HRFPN brings the coarser branches to stride 4; corners are not aligned. FPN always takes the
    nearest."""
    pooling: Literal["average", "max"] = "average"
    """How HRFPN makes its coarser levels. FPN pools none but the coarsest."""
    coarse_from: Literal["backbone", "neck"] = "backbone"
    """What FPN makes stride 64 of, where it has strides 8 to 128: the backbone's coarsest map (mmdetection's
    RetinaNet), or its own level of stride 32 (mmdetection's FCOS, torchvision's RetinaNet)."""
    coarse_relu: bool = False
    """Whether FPN makes stride 128 of what a ReLU leaves of stride 64; mmdetection's RetinaNet does not."""
