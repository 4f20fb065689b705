"""From spec to anchors, before torch is needed."""

from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, AnchorShapes
from hrdet_cli.engine.models.necks.levels import PyramidLevels, fpn_levels, hrfpn_levels
from hrdet_cli.specs.backbone import ResNetBackboneSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.specs.norm import NormSpec


def build_anchor_layout(anchors: AnchorSpec) -> AnchorLayout:
    """Where the anchors lie."""
    return AnchorLayout(
        offset=anchors.anchor_offset,
        is_rounded=anchors.round_anchors,
        step=anchors.anchor_step,
        area=anchors.anchor_area,
        border_end=anchors.border_end,
    )


def build_anchor_fit(spec: ExperimentSpec) -> AnchorFit | None:
    """The anchors that training would use, without the detector around them; None if it uses none."""
    head: HeadSpec = spec.model.head
    if head.anchors is None:
        return None
    anchors, levels = head.anchors.spec, build_levels(spec)
    shapes = AnchorShapes(
        strides=levels.strides,
        scale=anchors.anchor_scale,
        aspect_ratios=anchors.anchor_aspect_ratios,
        layout=build_anchor_layout(anchors),
    )
    return AnchorFit(anchors=shapes, allowed_border=anchors.allowed_border_pixels, levels=levels)


def build_levels(spec: ExperimentSpec) -> PyramidLevels:
    """The levels of the detector's pyramid, without its neck."""
    finest = spec.model.head.finest_stride
    if isinstance(spec.model.backbone, ResNetBackboneSpec):
        return fpn_levels(finest)
    return hrfpn_levels(finest, hides_padding=counts_valid_pixels(spec.norm))


def counts_valid_pixels(norm: NormSpec) -> bool:
    """Whether norms count the pixels of pictures only, so that levels have a last, incomplete cell."""
    return getattr(norm, "statistics", "all") == "valid"
