"""The necks: HRFPN behind HRNet, FPN behind ResNet."""

from typing import Literal

from pydantic import PositiveInt

from hrdet_cli.specs.base import Spec


class NeckSpec(Spec):
    """The feature pyramid, whose kind and levels follow from backbone and head."""

    channels: PositiveInt = 256
    """Channels of every level."""
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """How HRFPN brings the coarser branches to stride 4; corners are not aligned. FPN always takes the
    nearest."""
    pooling: Literal["average", "max"] = "average"
    """How HRFPN makes its coarser levels. FPN pools none but the coarsest."""
