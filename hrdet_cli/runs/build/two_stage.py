"""From spec to engine: heads that propose regions and look at them."""

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.runs.build.anchors import build_anchor_layout
from hrdet_cli.runs.build.boxes import build_box_loss, build_coder, build_selector
from hrdet_cli.runs.build.masks import build_mask_branch
from hrdet_cli.specs.heads.regions import RoiHeadSpec
from hrdet_cli.specs.heads.rpn import RpnSpec
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.model import ModelSpec

_RPN_STREAM, _ROI_STREAM = 0, 1
"""Each sampler draws from its own stream of a picture's key."""


def build_faster_rcnn(
    model: ModelSpec, head: FasterRcnnSpec, *, num_classes: int, strides: tuple[int, ...]
) -> TwoStageHead:
    """The head of Faster R-CNN; arguments as of `build_head`."""
    return TwoStageHead(
        rpn=build_rpn(model, head.rpn, strides=strides),
        region_draw=_build_region_draw(head.roi_head, num_classes=num_classes),
        roi_head=_build_box_stage(model, head.roi_head, num_classes=num_classes, strides=strides),
        selector=build_selector(model, head.roi_head),
        mask_head=None
        if head.mask is None
        else build_mask_branch(model, head.mask, num_classes=num_classes, strides=strides),
    )


def build_rpn(model: ModelSpec, rpn: RpnSpec, *, strides: tuple[int, ...]) -> RegionProposalNetwork:
    """The region proposal network on a pyramid whose levels have these strides."""
    clipping = BoxClipping(corners=model.box_corners, min_side_pixels=rpn.min_side_pixels)
    return RegionProposalNetwork(
        in_channels=model.neck.channels,
        anchor_generator=AnchorGenerator(
            strides=strides,
            scale=rpn.anchor_scale,
            aspect_ratios=rpn.anchor_aspect_ratios,
            layout=build_anchor_layout(rpn),
        ),
        coder=build_coder(rpn),
        matcher=Matcher(
            positive_iou=rpn.positive_iou,
            negative_iou=rpn.negative_iou,
            min_positive_iou=rpn.min_positive_iou,
            low_quality_target=rpn.low_quality_target,
        ),
        sampler=Sampler(
            num_samples=rpn.num_samples, positive_fraction=rpn.positive_fraction, stream=_RPN_STREAM
        ),
        box_loss=build_box_loss(rpn.box_loss),
        training_selector=ProposalSelector(
            num_candidates_per_level=rpn.num_train_candidates_per_level,
            nms_iou=rpn.nms_iou,
            max_proposals=rpn.num_train_proposals,
            clipping=clipping,
        ),
        test_selector=ProposalSelector(
            num_candidates_per_level=rpn.num_test_candidates_per_level,
            nms_iou=rpn.nms_iou,
            max_proposals=rpn.num_test_proposals,
            clipping=clipping,
        ),
        allowed_border=rpn.allowed_border_pixels,
    )


def _build_region_draw(head: RoiHeadSpec, *, num_classes: int) -> RegionDraw:
    return RegionDraw(
        num_classes=num_classes,
        matcher=Matcher(
            positive_iou=head.positive_iou, negative_iou=head.positive_iou, min_positive_iou=None
        ),
        sampler=Sampler(
            num_samples=head.num_samples, positive_fraction=head.positive_fraction, stream=_ROI_STREAM
        ),
    )


def _build_box_stage(
    model: ModelSpec, head: RoiHeadSpec, *, num_classes: int, strides: tuple[int, ...]
) -> BoxStage:
    """The region head on that pyramid, of which the coarsest level only proposes."""
    return BoxStage(
        in_channels=model.neck.channels,
        num_classes=num_classes,
        pooling=RegionPooling(
            strides=strides[:-1],
            cells=head.pool_cells,
            sampling_ratio=head.pool_sampling_ratio,
            aligned=head.pool_aligned,
        ),
        hidden_features=head.hidden_features,
        class_agnostic_boxes=head.class_agnostic_boxes,
        coder=build_coder(head),
        box_loss=build_box_loss(head.box_loss),
    )
