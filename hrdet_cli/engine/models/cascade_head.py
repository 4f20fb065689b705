"""The head of Cascade R-CNN (https://arxiv.org/abs/1712.00726): look at regions again and again.

With mask branches it is that of Cascade Mask R-CNN (https://arxiv.org/abs/1906.09756, section 4), and that of
Hybrid Task Cascade (https://arxiv.org/abs/1901.07518) where they take each other's features, and are trained
on what the box stages have refined; its semantic branch is optional.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.cascade import CascadeStage, average_logits, without_targets
from hrdet_cli.engine.models.regions.mask_cascade import MaskCascade
from hrdet_cli.engine.models.regions.semantic_branch import SemanticBranch
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets


@dataclass(frozen=True, kw_only=True, slots=True)
class CascadeHead:
    """A region proposal network and stages that refine each other's regions; see ``Head``.

    Attributes:
        rpn: Proposes regions.
        stages: At least one, in the order in which they look at regions.
        selector: Makes detections of the candidates.
        masks: A branch for each stage, which find the masks of detections; None where boxes are all.
        semantic_head: Makes semantic maps of the pyramid, of which stages and mask branches pool features;
            None where they look at the pyramid alone.

    Raises:
        ValueError: There are more or fewer mask branches than stages.
    """

    rpn: RegionProposalNetwork
    stages: tuple[CascadeStage, ...]
    selector: DetectionSelector
    masks: MaskCascade | None = None
    semantic_head: SemanticBranch | None = None

    def __post_init__(self) -> None:
        if self.masks is not None and len(self.masks.branches) != len(self.stages):
            raise ValueError(f"{len(self.stages)} stages have {len(self.masks.branches)} mask branches")

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The network, the stages, the mask branches and the semantic branch.

        Names of tensors start with ``roi_head.stages.0.``, ``mask_head.stages.0.`` and so on.
        """
        parts: dict[str, nn.Module] = {
            "rpn": self.rpn,
            "roi_head": _numbered(stage.box_stage for stage in self.stages),
        }
        if self.masks is not None:
            parts["mask_head"] = _numbered(self.masks.branches)
        if self.semantic_head is not None:
            parts["semantic_head"] = self.semantic_head
        return parts

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Those of all stages and mask branches: proposals are of no class."""
        of_boxes = {
            f"roi_head.stages.{index}.{layer}": rows
            for index, stage in enumerate(self.stages)
            for layer, rows in stage.box_stage.class_rows.items()
        }
        of_masks = {} if self.masks is None else self.masks.class_rows
        return of_boxes | {f"mask_head.stages.{layer}": rows for layer, rows in of_masks.items()}

    @property
    def matching_loss(self) -> str:
        """Of the region proposal network; the stages have the ground truth among their regions."""
        return "rpn_box"

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        """Adds semantic maps where there is a branch for them; see ``Head``."""
        return (
            pyramid if self.semantic_head is None else replace(pyramid, semantic=self.semantic_head(pyramid))
        )

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Those of the network, and weighted ``roi_class_1``, ``roi_box_1``, ``roi_class_2`` and so on.

        Of masks there are ``roi_mask_1`` and so on, and of label maps there is ``semantic``.  Each stage but
        the first is trained on what the one before it made of the regions it was trained on.  Arguments as
        of ``Head``.
        """
        anchors = self.rpn(pyramid)
        regions = self.rpn.propose(anchors, images.sizes)
        losses = self.rpn.losses(anchors, images, targets)
        if self.semantic_head is not None:
            losses["semantic"] = self.semantic_head.loss(pyramid, targets.semantic)
        for index, stage in enumerate(self.stages):
            class_losses = partial(stage.box_stage.class_losses, pyramid)
            drawn = stage.region_draw.draw(regions, images, targets, class_losses=class_losses)
            predictions = stage.box_stage(pyramid, drawn)
            roi = stage.box_stage.losses(predictions, drawn, targets)
            found = {"class": roi.classes, "box": roi.boxes}
            regions = stage.refine(predictions, without_targets(drawn), images.sizes)
            if self.masks is not None:
                if stage.mask_draw is not None:
                    drawn = stage.mask_draw.draw(regions, images, targets, class_losses=class_losses)
                positives = drawn.first(stage.region_draw.sampler.max_positive)
                found["mask"] = self.masks.loss(pyramid, positives, targets, stage=index)
            losses |= {f"roi_{part}_{index + 1}": loss * stage.loss_weight for part, loss in found.items()}
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

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        """Adds masks where there are branches for them; arguments as of ``Head``."""
        return found if self.masks is None else self.masks.complete(pyramid, found)


def _numbered(stages: Iterable[nn.Module]) -> nn.ModuleDict:
    return nn.ModuleDict({"stages": nn.ModuleList(stages)})
