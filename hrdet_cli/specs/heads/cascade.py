"""Detectors whose stages refine each other's regions."""

from collections.abc import Iterator
from typing import Literal

from pydantic import PositiveFloat

from hrdet_cli.specs.base import Fraction, Problem, Spec
from hrdet_cli.specs.heads.boxes import BoxStds
from hrdet_cli.specs.heads.head import Section
from hrdet_cli.specs.heads.masks import CascadeMaskSpec
from hrdet_cli.specs.heads.regions import RegionHeadSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.heads.two_stage import RegionDetectorSpec


class StageSpec(Spec):
    """A stage of a cascade: how much a region must overlap a box, and how much its losses count."""

    positive_iou: Fraction
    """A region that overlaps a box at least this much is positive, any other negative."""
    min_positive_iou: Fraction | None = None
    """A box's best regions learn this box, whatever else they overlap, if they overlap it at least this much
    (mmdetection's HTC, as much as positive_iou); null has no such rule."""
    box_stds: BoxStds
    """Divisors of the encoded deltas (x, y, width, height) after the means were subtracted."""
    loss_weight: PositiveFloat
    """Factor of all losses of the stage."""


PUBLISHED_STAGES = (
    StageSpec(positive_iou=0.5, box_stds=(0.1, 0.1, 0.2, 0.2), loss_weight=1),
    StageSpec(positive_iou=0.6, box_stds=(0.05, 0.05, 0.1, 0.1), loss_weight=0.5),
    StageSpec(positive_iou=0.7, box_stds=(0.033, 0.033, 0.067, 0.067), loss_weight=0.25),
)
"""Those of the paper, with mmdetection's rounding."""


class CascadeRcnnSpec(RegionDetectorSpec):
    """Cascade R-CNN (arXiv:1712.00726): each stage looks at what the one before made of the regions.

    With `mask` it is Cascade Mask R-CNN, and with `mask.interleaved`, `mask.flow` and `semantic` Hybrid Task
    Cascade (arXiv:1901.07518).
    """

    kind: Literal["cascade_rcnn"]
    """The kind of detector."""
    roi_head: RegionHeadSpec = RegionHeadSpec()
    """What all stages have alike; boxes are class-agnostic."""
    stages: tuple[StageSpec, ...] = PUBLISHED_STAGES
    """Each stage, in the order in which they look at regions; classes are scored by all of them together."""
    mask: CascadeMaskSpec | None = None
    """Mask branches, one for each stage; `{}` are the published ones, null finds boxes alone."""
    semantic: SemanticSpec | None = None
    """Semantic branch; `{}` is the published one, null has none. It learns from `data.train.label_maps`."""

    def problems(self) -> Iterator[Problem]:
        """A cascade of nothing."""
        if not self.stages:
            yield "stages", "must have a stage at least; got []"

    @property
    def label_maps(self) -> Section[SemanticSpec] | None:
        """Those of the semantic branch."""
        return None if self.semantic is None else Section("model.head.semantic", self.semantic)
