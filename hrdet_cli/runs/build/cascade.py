"""From spec to engine: the head whose stages refine each other's regions."""

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.regions.cascade import CascadeStage
from hrdet_cli.engine.models.regions.mask_cascade import MaskCascade
from hrdet_cli.runs.build.boxes import build_selector
from hrdet_cli.runs.build.masks import build_mask_branch
from hrdet_cli.runs.build.regions import FIRST_REGION_STREAM, build_box_stage, build_region_draw
from hrdet_cli.runs.build.rpn import build_rpn
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec
from hrdet_cli.specs.heads.masks import CascadeMaskSpec
from hrdet_cli.specs.model import ModelSpec


def build_cascade_rcnn(
    model: ModelSpec, head: CascadeRcnnSpec, *, num_classes: int, strides: tuple[int, ...]
) -> CascadeHead:
    """The head of Cascade R-CNN; arguments as of `build_head`."""
    roi_head, mask = head.roi_head, head.mask
    stages = tuple(
        CascadeStage(
            box_stage=build_box_stage(
                model,
                roi_head,
                BoxCoder(stds=stage.box_stds, means=roi_head.box_means, clamp=roi_head.box_clamp),
                num_classes=num_classes,
                strides=strides,
                class_agnostic_boxes=True,
            ),
            region_draw=build_region_draw(
                roi_head, stage, num_classes=num_classes, stream=FIRST_REGION_STREAM + index
            ),
            loss_weight=stage.loss_weight,
            clipping=BoxClipping(corners=model.box_corners),
            mask_draw=build_region_draw(
                roi_head,
                stage,
                num_classes=num_classes,
                stream=FIRST_REGION_STREAM + len(head.stages) + index,
            )
            if mask is not None and mask.interleaved
            else None,
        )
        for index, stage in enumerate(head.stages)
    )
    return CascadeHead(
        rpn=build_rpn(model, head.rpn, strides=strides),
        stages=stages,
        selector=build_selector(model, roi_head),
        masks=None if mask is None else _build_masks(model, mask, num_classes, strides, len(stages)),
    )


def _build_masks(
    model: ModelSpec, mask: CascadeMaskSpec, num_classes: int, strides: tuple[int, ...], num_stages: int
) -> MaskCascade:
    branches = tuple(
        build_mask_branch(
            model, mask, num_classes=num_classes, strides=strides, takes_features=mask.flow and index > 0
        )
        for index in range(num_stages)
    )
    return MaskCascade(branches=branches, average=mask.average)
