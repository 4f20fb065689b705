"""Where the points of detectors without anchors lie. Does not import torch."""

from dataclasses import dataclass
from typing import Literal

from hrdet_cli.engine.models.dense.anchor_shapes import CellArea


@dataclass(frozen=True, kw_only=True, slots=True)
class PointLayout:
    """Where points lie and which of them count, in which families of detectors differ.

    Attributes:
        offset: Where in its cell a point lies, in strides: 0.5 is the middle (the paper, mmdetection), 0 the
            top left corner (torchvision).
        step: Pixels from one cell to the next, as in ``AnchorLayout``.
        area: Whose cells have points that train and find: the picture's, or all (mmdetection, torchvision).
    """

    offset: float = 0.5
    step: Literal["stride", "canvas"] = "stride"
    area: CellArea = "picture"
