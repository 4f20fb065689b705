"""The region proposal network."""

from pydantic import NonNegativeFloat, PositiveInt

from hrdet_cli.specs.base import Fraction
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.boxes import BoxLossSpec
from hrdet_cli.specs.norm import PartNorm


class RpnSpec(AnchorSpec):
    """Region proposal network."""

    num_convs: PositiveInt = 1
    """3x3 convolutions before the two that predict; torchvision's version 2 has two."""
    norm: PartNorm = None
    """What follows each of them: a batch norm, which becomes what `norm` says, or a group norm."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1 / 9)
    """Loss on the deltas of positive anchors."""
    num_samples: PositiveInt = 256
    """Anchors per picture that the loss looks at."""
    positive_fraction: Fraction = 0.5
    """Largest share of positives among them."""
    min_side_pixels: NonNegativeFloat = 0
    """Proposals with a shorter side are dropped, and always those without area."""
    nms_iou: Fraction = 0.7
    """A proposal that overlaps a better one of its level more than this is dropped."""
    num_train_candidates_per_level: PositiveInt = 2000
    """Best anchors per level that enter NMS in training."""
    num_train_proposals: PositiveInt = 2000
    """Proposals per picture that leave NMS in training."""
    num_test_candidates_per_level: PositiveInt = 1000
    """Best anchors per level that enter NMS in evaluation."""
    num_test_proposals: PositiveInt = 1000
    """Proposals per picture that leave NMS in evaluation."""
