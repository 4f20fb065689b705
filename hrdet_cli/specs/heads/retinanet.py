"""RetinaNet."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from hrdet_cli.specs.base import Fraction
from hrdet_cli.specs.heads.anchors import AnchorScale, AnchorSpec
from hrdet_cli.specs.heads.boxes import BoxLossSpec, OverlapLossSpec
from hrdet_cli.specs.heads.dense import DenseHeadSpec
from hrdet_cli.specs.heads.head import Section


class RetinaNetSpec(DenseHeadSpec, AnchorSpec):
    """RetinaNet (arXiv:1708.02002): classes and a box for every anchor of every cell."""

    kind: Literal["retinanet"]
    """The kind of detector."""
    anchor_scale: AnchorScale = 4
    """Side of the smallest square anchors in units of their level's stride, or `auto`: see
    `model.head.rpn.anchor_scale`."""
    anchor_scales_per_octave: PositiveInt = 3
    """Anchors of each aspect ratio at a position, each larger than the one before by the same factor, up to
    twice `anchor_scale`, which is the next level's."""
    allowed_border_pixels: NonNegativeFloat | None = None
    """How far an anchor may reach out of the picture and still be trained on; null trains on all of them."""
    positive_iou: Fraction = 0.5
    """An anchor that overlaps a box at least this much is positive."""
    negative_iou: Fraction = 0.4
    """An anchor that overlaps every box less than this is negative."""
    min_positive_iou: Fraction = 0
    """A box's best anchors are positive too if they overlap it at least this much, and at all."""
    box_loss: Annotated[BoxLossSpec | OverlapLossSpec, Field(discriminator="kind")] = BoxLossSpec(kind="l1")
    """Loss on the deltas of positive anchors, or (iou, giou) on the boxes that they make."""
    averaging: Literal["batch", "picture"] = "batch"
    """Losses are divided by the positives of all pictures together, where one without any counts as 1
    (mmdetection), or picture by picture by its own, and then averaged (torchvision)."""

    @property
    def anchors(self) -> Section[AnchorSpec]:
        """Its own."""
        return Section("model.head", self)
