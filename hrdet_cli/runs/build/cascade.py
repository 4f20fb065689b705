"""From spec to engine: the head whose stages refine each other's regions."""

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.cascade import CascadeStage
from hrdet_cli.engine.models.regions.mask_cascade import MaskCascade
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.models.regions.semantic_branch import SemanticBranch
from hrdet_cli.runs.build.boxes import build_selector
from hrdet_cli.runs.build.masks import build_mask_branch
from hrdet_cli.runs.build.regions import FIRST_REGION_STREAM, build_box_stage, build_region_draw
from hrdet_cli.runs.build.rpn import build_rpn
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec, StageSpec
from hrdet_cli.specs.heads.masks import CascadeMaskSpec
from hrdet_cli.specs.heads.semantic import SemanticSpec
from hrdet_cli.specs.model import ModelSpec


def build_cascade_rcnn(
    model: ModelSpec, head: CascadeRcnnSpec, *, num_classes: int, strides: tuple[int, ...]
) -> CascadeHead:
    """The head of Cascade R-CNN; arguments as of `build_head`."""
    roi_head, semantic = head.roi_head, head.semantic

    def build_box_layers(stage: StageSpec) -> BoxStage:
        return build_box_stage(
            model,
            roi_head,
            BoxCoder(stds=stage.box_stds, means=roi_head.box_means, clamp=roi_head.box_clamp),
            num_classes=num_classes,
            strides=strides,
            class_agnostic_boxes=True,
            semantic=semantic,
        )

    def build_draw(stage: StageSpec, place: int) -> RegionDraw:
        stream = FIRST_REGION_STREAM + place
        return build_region_draw(roi_head, stage, num_classes=num_classes, stream=stream)

    def build_masks(mask: CascadeMaskSpec) -> MaskCascade:
        branches = tuple(
            build_mask_branch(
                model,
                mask,
                num_classes=num_classes,
                strides=strides,
                takes_features=mask.flow and index > 0,
                semantic=semantic,
            )
            for index in range(len(head.stages))
        )
        return MaskCascade(branches=branches, average=mask.average)

    is_interleaved = head.mask is not None and head.mask.interleaved
    return CascadeHead(
        rpn=build_rpn(model, head.rpn, strides=strides),
        stages=tuple(
            CascadeStage(
                box_stage=build_box_layers(stage),
                region_draw=build_draw(stage, index),
                loss_weight=stage.loss_weight,
                clipping=BoxClipping(corners=model.box_corners),
                mask_draw=build_draw(stage, len(head.stages) + index) if is_interleaved else None,
            )
            for index, stage in enumerate(head.stages)
        ),
        selector=build_selector(model, roi_head),
        masks=None if head.mask is None else build_masks(head.mask),
        semantic_head=None if semantic is None else _build_semantic_branch(model, semantic, strides),
    )


def _build_semantic_branch(
    model: ModelSpec, semantic: SemanticSpec, strides: tuple[int, ...]
) -> SemanticBranch:
    return SemanticBranch(
        channels=model.neck.channels,
        strides=strides,
        num_labels=semantic.num_labels,
        num_convs=semantic.num_convs,
        loss_weight=semantic.loss_weight,
    )
