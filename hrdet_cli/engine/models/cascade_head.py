"""The head of Cascade R-CNN (https://arxiv.org/abs/1712.00726): look at regions again and again."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.cascade import CascadeStage, average_logits, without_targets
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeHead:
    """A region proposal network and stages that refine each other's regions; see ``Head``.

    Attributes:
        rpn: Proposes regions.
        stages: At least one, in the order in which they look at regions.
        selector: Makes detections of the candidates.
    """

    rpn: RegionProposalNetwork
    stages: tuple[CascadeStage, ...]
    selector: DetectionSelector

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The network and the stages, whose tensors start with ``roi_head.stages.0.`` and so on."""
        stages = nn.ModuleList(stage.box_stage for stage in self.stages)
        return {"rpn": self.rpn, "roi_head": nn.ModuleDict({"stages": stages})}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Those of all stages: proposals are of no class."""
        return {
            f"roi_head.stages.{index}.{layer}": rows
            for index, stage in enumerate(self.stages)
            for layer, rows in stage.box_stage.class_rows.items()
        }

    @property
    def matching_loss(self) -> str:
        """Of the region proposal network; the stages have the ground truth among their regions."""
        return "rpn_box"

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Those of the network, and weighted ``roi_class_1``, ``roi_box_1``, ``roi_class_2`` and so on.

        Each stage but the first is trained on what the one before it made of the regions it was trained on.
        Arguments as of ``Head``.
        """
        anchors = self.rpn(pyramid)
        regions = self.rpn.propose(anchors, images.sizes)
        losses = self.rpn.losses(anchors, images, targets)
        for number, stage in enumerate(self.stages, start=1):
            class_losses = partial(stage.box_stage.class_losses, pyramid)
            drawn = stage.region_draw.draw(regions, images, targets, class_losses=class_losses)
            predictions = stage.box_stage(pyramid, drawn)
            roi = stage.box_stage.losses(predictions, drawn, targets)
            losses[f"roi_class_{number}"] = roi.classes * stage.loss_weight
            losses[f"roi_box_{number}"] = roi.boxes * stage.loss_weight
            if number < len(self.stages):
                regions = stage.refine(predictions, without_targets(drawn), images.sizes)
        return losses

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """What each region would be as an object of each class, by the word of all stages.

        Arguments as of ``Head``.
        """
        regions = self.rpn.propose(self.rpn(pyramid), sizes)
        *earlier, last = self.stages
        predictions = []
        for stage in earlier:
            predictions.append(stage.box_stage(pyramid, regions))
            regions = stage.refine(predictions[-1], regions, sizes)
        predictions.append(last.box_stage(pyramid, regions))
        return last.box_stage.candidates(average_logits(predictions), regions)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:  # noqa: ARG002 - as Head has it
        """Nothing but boxes, which are found already."""
        return found
