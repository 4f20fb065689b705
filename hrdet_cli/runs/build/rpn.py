"""From spec to engine: the region proposal network."""

from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.runs.build.anchor_matching import build_anchor_generator, build_anchor_matcher
from hrdet_cli.runs.build.boxes import build_box_loss, build_coder
from hrdet_cli.specs.heads.rpn import RpnSpec
from hrdet_cli.specs.model import ModelSpec

RPN_STREAM = 0
"""Each sampler of a detector draws from its own stream of a picture's key."""


def build_rpn(model: ModelSpec, rpn: RpnSpec, *, strides: tuple[int, ...]) -> RegionProposalNetwork:
    """The region proposal network on a pyramid whose levels have these strides."""
    clipping = BoxClipping(corners=model.box_corners, min_side_pixels=rpn.min_side_pixels)
    return RegionProposalNetwork(
        in_channels=model.neck.channels,
        num_convs=rpn.num_convs,
        norm=rpn.norm,
        anchor_generator=build_anchor_generator(rpn, strides=strides),
        coder=build_coder(rpn),
        matcher=build_anchor_matcher(rpn),
        sampler=Sampler(
            num_samples=rpn.num_samples, positive_fraction=rpn.positive_fraction, stream=RPN_STREAM
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
