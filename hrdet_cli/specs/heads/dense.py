"""What detectors that look once have alike: classes and boxes from every cell of the pyramid."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from hrdet_cli.specs.base import Fraction, Problem
from hrdet_cli.specs.heads.boxes import SelectionSpec
from hrdet_cli.specs.heads.head import HeadSpec, Limit, Section, detection_limit
from hrdet_cli.specs.norm import PartNorm, norm_problems


class DenseHeadSpec(HeadSpec, SelectionSpec):
    """The base of heads without a second look."""

    channels: PositiveInt = 256
    """Channels of the convolutions."""
    num_convs: NonNegativeInt = 4
    """3x3 convolutions before those that predict, for classes and for boxes each."""
    norm: PartNorm = None
    """What follows each of them: a batch norm, which becomes what `norm` says, or a group norm."""
    prior_probability: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Of each class everywhere before anything is learned."""
    focal_alpha: Fraction = 0.25
    """Weight of classes that are there in the focal loss (arXiv:1708.02002); others have the rest to 1."""
    focal_gamma: NonNegativeFloat = 2.0
    """Power of what a prediction lacks to be right, which multiplies its loss."""
    num_candidates_per_level: PositiveInt = 1000
    """Best pairs of a place and a class per level that enter NMS."""

    @property
    def finest_stride(self) -> Literal[8]:
        """Every cell predicts, so there are no fine ones."""
        return 8

    @property
    def selection(self) -> Section[SelectionSpec]:
        """Its own."""
        return Section("model.head", self)

    @property
    def duplicate_iou(self) -> float:
        """Its own."""
        return self.nms_iou

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Detections, and the pairs that they are chosen from."""
        return (
            detection_limit(self.selection),
            Limit(
                "model.head.num_candidates_per_level",
                self.num_candidates_per_level,
                per_object=4,
                is_of_level=True,
            ),
        )

    def problems(self) -> Iterator[Problem]:
        """What is said of convolutions that there are not."""
        yield from super().problems()
        yield from norm_problems(self.norm, num_convs=self.num_convs)
