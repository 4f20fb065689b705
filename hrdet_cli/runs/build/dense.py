"""From spec to engine: heads that look once, at every cell of the pyramid."""

from dataclasses import replace

from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.dense.fcos import FcosHead, PointScoring
from hrdet_cli.engine.models.dense.point_matching import PointMatcher
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.runs.build.anchor_matching import build_anchor_generator, build_anchor_matcher
from hrdet_cli.runs.build.anchors import build_point_layout
from hrdet_cli.runs.build.boxes import build_box_loss, build_coder, build_selector
from hrdet_cli.specs.heads.boxes import OverlapLossSpec
from hrdet_cli.specs.heads.dense import DenseHeadSpec
from hrdet_cli.specs.heads.fcos import FcosSpec
from hrdet_cli.specs.heads.retinanet import RetinaNetSpec
from hrdet_cli.specs.model import ModelSpec


def build_retinanet(
    model: ModelSpec, head: RetinaNetSpec, *, num_classes: int, strides: tuple[int, ...]
) -> OneStageHead:
    """The head of RetinaNet; arguments as of `build_head`."""
    loss = head.box_loss
    dense = RetinaHead(
        in_channels=model.neck.channels,
        num_classes=num_classes,
        channels=head.channels,
        num_convs=head.num_convs,
        norm=head.norm,
        prior_probability=head.prior_probability,
        anchor_generator=build_anchor_generator(head, strides=strides),
        coder=build_coder(head),
        matcher=build_anchor_matcher(head),
        allowed_border=head.allowed_border_pixels,
        class_loss=_build_class_loss(head),
        box_loss=OverlapLoss(kind=loss.kind) if isinstance(loss, OverlapLossSpec) else build_box_loss(loss),
        averaging=head.averaging,
        num_candidates_per_level=head.num_candidates_per_level,
    )
    return OneStageHead(name="retina_head", dense=dense, selector=build_selector(model, head))


def build_fcos(
    model: ModelSpec, head: FcosSpec, *, num_classes: int, strides: tuple[int, ...]
) -> OneStageHead:
    """The head of FCOS; arguments as of `build_head`."""
    dense = FcosHead(
        in_channels=model.neck.channels,
        num_classes=num_classes,
        strides=strides,
        channels=head.channels,
        num_convs=head.num_convs,
        norm=head.norm,
        conv_bias=head.conv_bias,
        prior_probability=head.prior_probability,
        point_layout=build_point_layout(head),
        distances=head.distances,
        centreness_from=head.centreness_from,
        matcher=PointMatcher(range_ends=head.range_ends_pixels, centre_radius=head.centre_radius),
        class_loss=_build_class_loss(head),
        box_loss=OverlapLoss(kind=head.box_loss),
        box_loss_weights=head.box_loss_weights,
        scoring=PointScoring(
            rule=head.score_rule,
            score_threshold=head.score_threshold,
            num_candidates_per_level=head.num_candidates_per_level,
        ),
    )
    # Its threshold is on other scores than those that come out of the head.
    selector = replace(build_selector(model, head), score_threshold=0.0)
    return OneStageHead(name="fcos_head", dense=dense, selector=selector)


def _build_class_loss(head: DenseHeadSpec) -> FocalLoss:
    return FocalLoss(alpha=head.focal_alpha, gamma=head.focal_gamma)
