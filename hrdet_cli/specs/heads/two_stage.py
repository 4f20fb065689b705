"""Detectors of two stages: regions are proposed, then looked at."""

from collections.abc import Mapping
from typing import Literal

from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.boxes import SelectionSpec
from hrdet_cli.specs.heads.head import HeadSpec, Limit, Section, detection_limit
from hrdet_cli.specs.heads.masks import MaskSpec
from hrdet_cli.specs.heads.regions import RegionHeadSpec, RoiHeadSpec
from hrdet_cli.specs.heads.rpn import RpnSpec
from hrdet_cli.specs.norm import PartNorm


class RegionDetectorSpec(HeadSpec):
    """The base of heads that propose regions and look at them, once or in stages."""

    rpn: RpnSpec = RpnSpec()
    """Region proposal network."""
    roi_head: RegionHeadSpec = RegionHeadSpec()
    """What looks at regions."""
    mask: MaskSpec | None = None
    """Mask branch; null finds boxes alone."""

    @property
    def finest_stride(self) -> Literal[4]:
        """Regions are cut out of fine maps; the coarsest level only proposes."""
        return 4

    @property
    def region_norms(self) -> Mapping[str, PartNorm]:
        """Of what looks at regions, and of what finds their masks."""
        norms = {"model.head.roi_head.norm": self.roi_head.norm}
        return norms if self.mask is None else {**norms, "model.head.mask.norm": self.mask.norm}

    @property
    def selection(self) -> Section[SelectionSpec]:
        """Of the region head."""
        return Section("model.head.roi_head", self.roi_head)

    @property
    def duplicate_iou(self) -> float:
        """Of the region head."""
        return self.roi_head.nms_iou

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
        """Those of the mask branch, or of one for each stage."""
        return None if self.mask is None else Section("model.head.mask", self.mask)


class FasterRcnnSpec(RegionDetectorSpec):
    """Faster R-CNN (arXiv:1506.01497), and with `mask` Mask R-CNN: proposals are looked at once."""

    kind: Literal["faster_rcnn"] = "faster_rcnn"
    """The kind of detector."""
    roi_head: RoiHeadSpec = RoiHeadSpec()
    """Region head."""
    mask: MaskSpec | None = None
    """Mask branch; `{}` is the published one, null finds boxes alone."""


def proposal_limits(rpn: RpnSpec) -> tuple[Limit, Limit]:
    """How many proposals are kept, and how many anchors of a level they are chosen from."""
    key = "model.head.rpn"
    return (
        Limit(f"{key}.num_test_proposals", rpn.num_test_proposals, per_object=4),
        Limit(
            f"{key}.num_test_candidates_per_level",
            rpn.num_test_candidates_per_level,
            per_object=4,
            is_of_level=True,
        ),
    )
