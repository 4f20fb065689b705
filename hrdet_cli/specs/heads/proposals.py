"""A region proposal network without anything behind it."""

from typing import Literal

from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.head import HeadSpec, Limit, Section
from hrdet_cli.specs.heads.rpn import RpnSpec
from hrdet_cli.specs.heads.two_stage import proposal_limits


class ProposalNetworkSpec(HeadSpec):
    """The first stage of Faster R-CNN (arXiv:1506.01497) alone: finds objects, and not of what class."""

    kind: Literal["rpn"]
    """The kind of detector."""
    rpn: RpnSpec = RpnSpec()
    """Region proposal network; its proposals are the detections."""

    @property
    def finest_stride(self) -> Literal[4]:
        """That of a detector with regions behind it."""
        return 4

    @property
    def selection(self) -> None:
        """All proposals are detections."""
        return None

    @property
    def duplicate_iou(self) -> float:
        """That of proposals of one level; those of different levels are not compared in one view."""
        return self.rpn.nms_iou

    @property
    def anchors(self) -> Section[AnchorSpec]:
        """Those of the network."""
        return Section("model.head.rpn", self.rpn)

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Proposals."""
        return proposal_limits(self.rpn)

    @property
    def tells_classes(self) -> bool:
        """It finds that there is something."""
        return False
