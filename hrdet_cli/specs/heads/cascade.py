"""Detectors whose stages refine each other's regions."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import PositiveFloat

from hrdet_cli.specs.base import Fraction, Problem, Spec
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.boxes import BoxStds, SelectionSpec
from hrdet_cli.specs.heads.head import HeadSpec, Limit, Section, detection_limit
from hrdet_cli.specs.heads.masks import CascadeMaskSpec, MaskSpec
from hrdet_cli.specs.heads.regions import RegionHeadSpec
from hrdet_cli.specs.heads.rpn import RpnSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.heads.two_stage import proposal_limits, region_norms
from hrdet_cli.specs.norm import PartNorm


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


class CascadeRcnnSpec(HeadSpec):
    """Cascade R-CNN (arXiv:1712.00726): each stage looks at what the one before made of the regions.

    With `mask` it is Cascade Mask R-CNN, and with `mask.interleaved`, `mask.flow` and `semantic` Hybrid Task
    Cascade (arXiv:1901.07518).
    """

    kind: Literal["cascade_rcnn"]
    """The kind of detector."""
    rpn: RpnSpec = RpnSpec()
    """Region proposal network."""
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
    def finest_stride(self) -> Literal[4]:
        """Regions are cut out of fine maps; the coarsest level only proposes."""
        return 4

    @property
    def region_norms(self) -> Mapping[str, PartNorm]:
        """Of all stages and mask branches."""
        return region_norms(self.roi_head, self.mask)

    @property
    def selection(self) -> Section[SelectionSpec]:
        """Of all stages together."""
        return Section("model.head.roi_head", self.roi_head)

    @property
    def anchors(self) -> Section[AnchorSpec]:
        """Of the region proposal network."""
        return Section("model.head.rpn", self.rpn)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Detections, and the proposals that they are made of."""
        return (detection_limit(self.selection), *proposal_limits(self.rpn))

    @property
    def masks(self) -> Section[MaskSpec] | None:
        """Those of the mask branches."""
        return None if self.mask is None else Section("model.head.mask", self.mask)

    @property
    def label_maps(self) -> Section[SemanticSpec] | None:
        """Those of the semantic branch."""
        return None if self.semantic is None else Section("model.head.semantic", self.semantic)
