"""From spec to engine: the head, with its anchors, region proposal network and region head."""

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.runs.build.anchors import build_anchor_layout
from hrdet_cli.specs.model import BoxLossSpec, ModelSpec, RoiHeadSpec, RpnSpec, SoftNmsSpec

_RPN_STREAM, _ROI_STREAM = 0, 1
"""Each sampler draws from its own stream of a picture's key."""


def build_head(model: ModelSpec, *, num_classes: int, strides: tuple[int, ...]) -> Head:
    """The head that a spec asks for.

    Args:
        model: The spec.
        num_classes: K, without the background.
        strides: Of the pyramid's levels.
    """
    return TwoStageHead(
        rpn=_build_rpn(model, strides=strides),
        region_draw=_build_region_draw(model.roi_head, num_classes=num_classes),
        roi_head=_build_box_stage(model, num_classes=num_classes, strides=strides),
        selector=_build_selector(model),
    )


def describe_unmatched(matching_loss: str) -> str:
    """What it means, and what to do, when a whole epoch matched nothing with any box.

    Args:
        matching_loss: The head's loss that was zero in all steps.
    """
    return (
        f"in the whole first epoch no anchor matched a box ({matching_loss} 0 in every step), so the "
        "detector learns to find nothing: stop, and see with --dry-run what the boxes are and which "
        "model.rpn.anchor_scale fits them"
    )


def _build_rpn(model: ModelSpec, *, strides: tuple[int, ...]) -> RegionProposalNetwork:
    """The region proposal network on a pyramid whose levels have these strides."""
    rpn = model.rpn
    clipping = BoxClipping(corners=model.box_corners, min_side_pixels=rpn.min_side_pixels)
    return RegionProposalNetwork(
        in_channels=model.neck_channels,
        anchor_generator=AnchorGenerator(
            strides=strides,
            scale=rpn.anchor_scale,
            aspect_ratios=rpn.anchor_aspect_ratios,
            layout=build_anchor_layout(rpn),
        ),
        coder=_build_coder(rpn),
        matcher=Matcher(
            positive_iou=rpn.positive_iou,
            negative_iou=rpn.negative_iou,
            min_positive_iou=rpn.min_positive_iou,
            low_quality_target=rpn.low_quality_target,
        ),
        sampler=Sampler(
            num_samples=rpn.num_samples, positive_fraction=rpn.positive_fraction, stream=_RPN_STREAM
        ),
        box_loss=_build_box_loss(rpn.box_loss),
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


def _build_box_stage(model: ModelSpec, *, num_classes: int, strides: tuple[int, ...]) -> BoxStage:
    """The region head on that pyramid, of which the coarsest level only proposes."""
    head = model.roi_head
    return BoxStage(
        in_channels=model.neck_channels,
        num_classes=num_classes,
        pooling=RegionPooling(
            strides=strides[:-1],
            cells=head.pool_cells,
            sampling_ratio=head.pool_sampling_ratio,
            aligned=head.pool_aligned,
        ),
        hidden_features=head.hidden_features,
        class_agnostic_boxes=head.class_agnostic_boxes,
        coder=_build_coder(head),
        box_loss=_build_box_loss(head.box_loss),
    )


def _build_selector(model: ModelSpec) -> DetectionSelector:
    head = model.roi_head
    return DetectionSelector(
        score_threshold=head.score_threshold,
        nms_iou=head.nms_iou,
        max_detections=head.max_detections,
        clipping=BoxClipping(corners=model.box_corners, min_side_pixels=head.min_side_pixels),
        soft_nms=None if head.soft_nms is None else _build_soft_nms(head.soft_nms),
    )


def _build_coder(spec: RpnSpec | RoiHeadSpec) -> BoxCoder:
    return BoxCoder(stds=spec.box_stds, means=spec.box_means, clamp=spec.box_clamp)


def _build_box_loss(loss: BoxLossSpec) -> BoxLoss:
    return BoxLoss(kind=loss.kind, beta=loss.beta)


def _build_soft_nms(soft_nms: SoftNmsSpec) -> SoftNms:
    return SoftNms(decay=soft_nms.decay, sigma=soft_nms.sigma, min_score=soft_nms.min_score)
