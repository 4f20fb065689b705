"""A region proposal network as the whole head: finds that there is something, and not what."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets

_NEVER = 1.0
"""No overlap is more than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalHead:
    """Proposals are its detections, and K is 1: all of them are of one class, label 0.  See ``Head``.

    Attributes:
        rpn: Proposes regions.
    """

    rpn: RegionProposalNetwork

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"rpn": self.rpn}

    @property
    def selector(self) -> DetectionSelector:
        """Takes all proposals: the network has dropped what overlaps, level by level, already."""
        return DetectionSelector(
            score_threshold=0, nms_iou=_NEVER, max_detections=self.rpn.test_selector.max_proposals
        )

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """None."""
        return {}

    @property
    def matching_loss(self) -> str:
        """Of the network."""
        return "rpn_box"

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        """Nothing is added; see ``Head``."""
        return pyramid

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Scalars ``rpn_objectness`` and ``rpn_box``, whatever the labels are; arguments as of ``Head``."""
        return self.rpn.losses(self.rpn(pyramid), images, targets)

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """The proposals, with their objectness as scores; arguments as of ``Head``."""
        proposals, scores = self.rpn.propose_scored(self.rpn(pyramid), sizes)
        return Candidates(boxes=proposals.boxes[:, :, None], scores=scores[..., None])

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:  # noqa: ARG002 - as Head has it
        """Nothing but boxes, which are found already."""
        return found
