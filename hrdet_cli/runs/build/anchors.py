"""From spec to anchors and points, before torch is needed."""

from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, AnchorShapes
from hrdet_cli.engine.models.dense.point_fit import PointFit
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.necks.levels import PyramidLevels, fpn_levels, hrfpn_levels
from hrdet_cli.specs.backbone import ResNetBackboneSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.specs.heads.points import PointSpec
from hrdet_cli.specs.norm import NormSpec


def build_anchor_layout(anchors: AnchorSpec) -> AnchorLayout:
    """Where the anchors lie."""
    return AnchorLayout(
        offset=anchors.anchor_offset,
        is_rounded=anchors.round_anchors,
        has_whole_sides=anchors.whole_anchor_sides,
        step=anchors.anchor_step,
        area=anchors.anchor_area,
        border_end=anchors.border_end,
    )


def build_point_layout(points: PointSpec) -> PointLayout:
    """Where the points lie."""
    return PointLayout(offset=points.point_offset, step=points.point_step, area=points.point_area)


def build_anchor_fit(spec: ExperimentSpec) -> AnchorFit | None:
    """The anchors that training would use, without the detector around them; None if it uses none."""
    head: HeadSpec = spec.model.head
    if head.anchors is None:
        return None
    anchors, levels = head.anchors.spec, build_levels(spec)
    return AnchorFit(
        anchors=AnchorShapes(
            strides=levels.strides,
            scale=anchors.num_strides,
            scales_per_octave=anchors.anchor_scales_per_octave,
            aspect_ratios=anchors.anchor_aspect_ratios,
            layout=build_anchor_layout(anchors),
        ),
        allowed_border=anchors.allowed_border_pixels,
        levels=levels,
    )


def build_point_fit(spec: ExperimentSpec) -> PointFit | None:
    """The points that training would use, without the detector around them; None if it uses none."""
    head: HeadSpec = spec.model.head
    if head.points is None:
        return None
    points = head.points.spec
    return PointFit(
        levels=build_levels(spec),
        layout=build_point_layout(points),
        range_ends=points.range_ends_pixels,
        centre_radius=points.centre_radius,
    )


def build_levels(spec: ExperimentSpec) -> PyramidLevels:
    """The levels of the detector's pyramid, without its neck."""
    finest = spec.model.head.finest_stride
    if isinstance(spec.model.backbone, ResNetBackboneSpec):
        return fpn_levels(finest)
    return hrfpn_levels(finest, hides_padding=counts_valid_pixels(spec.norm))


def counts_valid_pixels(norm: NormSpec) -> bool:
    """Whether norms count the pixels of pictures only, so that levels have a last, incomplete cell."""
    return getattr(norm, "statistics", "all") == "valid"
