"""From spec to anchors, before torch is needed."""

from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, AnchorShapes
from hrdet_cli.engine.models.necks.levels import PyramidLevels, fpn_levels, hrfpn_levels
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.model import ResNetBackboneSpec, RpnSpec
from hrdet_cli.specs.norm import NormSpec


def build_anchor_layout(rpn: RpnSpec) -> AnchorLayout:
    """Where the anchors lie."""
    return AnchorLayout(
        offset=rpn.anchor_offset,
        is_rounded=rpn.round_anchors,
        step=rpn.anchor_step,
        area=rpn.anchor_area,
    )


def build_anchor_fit(spec: ExperimentSpec) -> AnchorFit:
    """The anchors that training would use, without the detector around them."""
    rpn = spec.model.rpn
    levels = build_levels(spec)
    shapes = AnchorShapes(
        strides=levels.strides,
        scale=rpn.anchor_scale,
        aspect_ratios=rpn.anchor_aspect_ratios,
        layout=build_anchor_layout(rpn),
    )
    return AnchorFit(
        anchors=shapes,
        allowed_border=rpn.allowed_border_pixels,
        levels=levels,
    )


def build_levels(spec: ExperimentSpec) -> PyramidLevels:
    """The levels of the detector's pyramid, without its neck."""
    if isinstance(spec.model.backbone, ResNetBackboneSpec):
        return fpn_levels(4)
    return hrfpn_levels(4, hides_padding=counts_valid_pixels(spec.norm))


def counts_valid_pixels(norm: NormSpec) -> bool:
    """Whether norms count the pixels of pictures only, so that levels have a last, incomplete cell."""
    return getattr(norm, "statistics", "all") == "valid"
