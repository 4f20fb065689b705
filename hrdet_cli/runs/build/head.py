"""From spec to engine: the head, one builder for each kind."""

from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.proposal_head import ProposalHead
from hrdet_cli.runs.build.cascade import build_cascade_rcnn
from hrdet_cli.runs.build.dense import build_fcos, build_retinanet
from hrdet_cli.runs.build.rpn import build_rpn
from hrdet_cli.runs.build.two_stage import build_faster_rcnn
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec
from hrdet_cli.specs.heads.fcos import FcosSpec
from hrdet_cli.specs.heads.proposals import ProposalNetworkSpec
from hrdet_cli.specs.heads.retinanet import RetinaNetSpec
from hrdet_cli.specs.model import ModelSpec


def build_head(model: ModelSpec, *, num_classes: int, strides: tuple[int, ...]) -> Head:
    """The head that a spec asks for.

    Args:
        model: The spec.
        num_classes: K, without the background.
        strides: Of the pyramid's levels.
    """
    if isinstance(model.head, CascadeRcnnSpec):
        return build_cascade_rcnn(model, model.head, num_classes=num_classes, strides=strides)
    if isinstance(model.head, RetinaNetSpec):
        return build_retinanet(model, model.head, num_classes=num_classes, strides=strides)
    if isinstance(model.head, FcosSpec):
        return build_fcos(model, model.head, num_classes=num_classes, strides=strides)
    if isinstance(model.head, ProposalNetworkSpec):
        return ProposalHead(rpn=build_rpn(model, model.head.rpn, strides=strides))
    return build_faster_rcnn(model, model.head, num_classes=num_classes, strides=strides)
