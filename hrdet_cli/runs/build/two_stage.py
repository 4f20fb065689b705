"""From spec to engine: the head that proposes regions and looks at them once."""

from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.runs.build.boxes import build_coder, build_selector
from hrdet_cli.runs.build.masks import build_mask_branch
from hrdet_cli.runs.build.regions import FIRST_REGION_STREAM, build_box_stage, build_region_draw
from hrdet_cli.runs.build.rpn import build_rpn
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.model import ModelSpec


def build_faster_rcnn(
    model: ModelSpec, head: FasterRcnnSpec, *, num_classes: int, strides: tuple[int, ...]
) -> TwoStageHead:
    """The head of Faster R-CNN; arguments as of `build_head`."""
    roi_head = head.roi_head
    return TwoStageHead(
        rpn=build_rpn(model, head.rpn, strides=strides),
        region_draw=build_region_draw(
            roi_head, roi_head, num_classes=num_classes, stream=FIRST_REGION_STREAM
        ),
        roi_head=build_box_stage(
            model,
            roi_head,
            build_coder(roi_head),
            num_classes=num_classes,
            strides=strides,
            class_agnostic_boxes=roi_head.class_agnostic_boxes,
        ),
        selector=build_selector(model, roi_head),
        mask_head=None
        if head.mask is None
        else build_mask_branch(model, head.mask, num_classes=num_classes, strides=strides),
    )
