"""The head of Faster R-CNN (https://arxiv.org/abs/1506.01497): propose regions, then look at each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class TwoStageHead:
    """A region proposal network and a region head; see ``Head`` for what they do together.

    Attributes:
        rpn: Proposes regions.
        region_draw: Draws those that the region head is trained on.
        roi_head: Classifies and refines them.
        selector: Makes detections of the candidates.
    """

    rpn: RegionProposalNetwork
    region_draw: RegionDraw
    roi_head: BoxStage
    selector: DetectionSelector

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Both stages."""
        return {"rpn": self.rpn, "roi_head": self.roi_head}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Those of the region head: proposals are of no class."""
        return {f"roi_head.{layer}": rows for layer, rows in self.roi_head.class_rows.items()}

    @property
    def matching_loss(self) -> str:
        """Of the region proposal network; the region head has the ground truth among its regions."""
        return "rpn_box"

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Scalars ``rpn_objectness``, ``rpn_box``, ``roi_class``, ``roi_box``; arguments as of ``Head``."""
        predictions = self.rpn(pyramid)
        proposals = self.rpn.propose(predictions, images.sizes)
        rpn_losses = self.rpn.losses(predictions, images, targets)
        class_losses = partial(self.roi_head.class_losses, pyramid)
        drawn = self.region_draw.draw(proposals, images, targets, class_losses=class_losses)
        roi = self.roi_head.losses(self.roi_head(pyramid, drawn.boxes), drawn, targets)
        return {**rpn_losses, "roi_class": roi.classes, "roi_box": roi.boxes}

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """What each proposed region would be as an object of each class; arguments as of ``Head``."""
        proposals = self.rpn.propose(self.rpn(pyramid), sizes)
        return self.roi_head.candidates(self.roi_head(pyramid, proposals.boxes), proposals)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:  # noqa: ARG002 - as Head has it
        """Nothing but boxes, which are found already."""
        return found
