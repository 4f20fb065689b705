"""From spec to engine: the head whose stages refine each other's regions."""

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.cascade_head import CascadeHead
from hrdet_cli.engine.models.regions.cascade import CascadeStage
from hrdet_cli.runs.build.boxes import build_selector
from hrdet_cli.runs.build.regions import FIRST_REGION_STREAM, build_box_stage, build_region_draw
from hrdet_cli.runs.build.rpn import build_rpn
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec
from hrdet_cli.specs.model import ModelSpec


def build_cascade_rcnn(
    model: ModelSpec, head: CascadeRcnnSpec, *, num_classes: int, strides: tuple[int, ...]
) -> CascadeHead:
    """The head of Cascade R-CNN; arguments as of `build_head`."""
    roi_head = head.roi_head
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
            region_draw=build_region_draw(roi_head, stage, num_classes=num_classes, stream=stream),
            loss_weight=stage.loss_weight,
            clipping=BoxClipping(corners=model.box_corners),
        )
        for stream, stage in enumerate(head.stages, start=FIRST_REGION_STREAM)
    )
    return CascadeHead(
        rpn=build_rpn(model, head.rpn, strides=strides),
        stages=stages,
        selector=build_selector(model, roi_head),
    )
