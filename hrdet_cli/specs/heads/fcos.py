"""FCOS."""

from typing import Literal

from hrdet_cli.specs.base import Fraction
from hrdet_cli.specs.heads.dense import DenseHeadSpec
from hrdet_cli.specs.heads.head import Section
from hrdet_cli.specs.heads.points import PointSpec
from hrdet_cli.specs.norm import PartNorm


class FcosSpec(DenseHeadSpec, PointSpec):
    """FCOS (arXiv:1904.01355): classes, four distances and a centreness for a point in every cell."""

    kind: Literal["fcos"]
    """The kind of detector."""
    norm: PartNorm = "group"
    """What follows each 3x3 convolution: a batch norm, which becomes what `norm` says, or a group norm."""
    conv_bias: bool = False
    """Give the convolutions a bias in front of a norm, too, as torchvision does."""
    distances: Literal["exponential", "strides"] = "exponential"
    """What the convolution predicts, times a learned scale for each level: logarithms of pixels, or strides,
    of which what is below 0 counts as 0 (norm_on_bbox in mmdetection)."""
    centreness_from: Literal["classes", "boxes"] = "classes"
    """Whose convolutions the centreness comes from: those of classes, as published, or of boxes."""
    box_loss: Literal["iou", "giou"] = "iou"
    """Loss on boxes: the negative logarithm of their overlap (iou), or 1 less the generalised one (giou)."""
    box_loss_weights: Literal["centreness", "none"] = "centreness"
    """What weighs the loss on the box of each point: the centreness that the point should have, or nothing
    (torchvision)."""
    score_threshold: Fraction = 0.05
    """A class with a lower score is dropped, before or after the centreness as `score_rule` says."""
    score_rule: Literal["product", "geometric_mean"] = "product"
    """`product`: classes are chosen and held against `score_threshold` by their own scores, and what passes
    is multiplied by the centreness; `geometric_mean`: the root of the product is the score throughout."""

    @property
    def anchors(self) -> None:
        """There are none."""
        return

    @property
    def points(self) -> Section[PointSpec]:
        """Its own."""
        return Section("model.head", self)
