"""The head of Faster R-CNN (https://arxiv.org/abs/1506.01497): propose regions, then look at each.

With a mask branch it is that of Mask R-CNN (https://arxiv.org/abs/1703.06870).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
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
        mask_head: Finds the masks of detections; None where boxes are all.
    """

    rpn: RegionProposalNetwork
    region_draw: RegionDraw
    roi_head: BoxStage
    selector: DetectionSelector
    mask_head: MaskBranch | None = None

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """Both stages, and the mask branch."""
        masks = {} if self.mask_head is None else {"mask_head": self.mask_head}
        return {"rpn": self.rpn, "roi_head": self.roi_head, **masks}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Those of the region head and the mask branch: proposals are of no class."""
        by_part = {"roi_head": self.roi_head.class_rows}
        if self.mask_head is not None:
            by_part["mask_head"] = self.mask_head.class_rows
        return {f"{part}.{layer}": rows for part, layers in by_part.items() for layer, rows in layers.items()}

    @property
    def matching_loss(self) -> str:
        """Of the region proposal network; the region head has the ground truth among its regions."""
        return "rpn_box"

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        """Nothing is added; see ``Head``."""
        return pyramid

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Scalars ``rpn_objectness``, ``rpn_box``, ``roi_class``, ``roi_box``, and ``roi_mask`` of masks.

        Arguments as of ``Head``.
        """
        predictions = self.rpn(pyramid)
        proposals = self.rpn.propose(predictions, images.sizes)
        rpn_losses = self.rpn.losses(predictions, images, targets)
        class_losses = partial(self.roi_head.class_losses, pyramid)
        drawn = self.region_draw.draw(proposals, images, targets, class_losses=class_losses)
        roi = self.roi_head.losses(self.roi_head(pyramid, drawn), drawn, targets)
        losses = {**rpn_losses, "roi_class": roi.classes, "roi_box": roi.boxes}
        if self.mask_head is not None:
            positives = drawn.first(self.region_draw.sampler.max_positive)
            losses["roi_mask"] = self.mask_head.loss(pyramid, positives, targets)
        return losses

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """What each proposed region would be as an object of each class; arguments as of ``Head``."""
        proposals = self.rpn.propose(self.rpn(pyramid), sizes)
        return self.roi_head.candidates(self.roi_head(pyramid, proposals), proposals)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        """Adds masks where there is a branch for them; arguments as of ``Head``."""
        return found if self.mask_head is None else self.mask_head.complete(pyramid, found)
