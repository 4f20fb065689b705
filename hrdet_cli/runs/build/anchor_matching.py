"""From spec to engine: anchors, and which boxes they learn."""

from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.runs.build.anchors import build_anchor_layout
from hrdet_cli.specs.heads.anchors import AnchorSpec


def build_anchor_generator(anchors: AnchorSpec, *, strides: tuple[int, ...]) -> AnchorGenerator:
    """What lays the anchors on a pyramid whose levels have these strides."""
    return AnchorGenerator(
        strides=strides,
        scale=anchors.num_strides,
        scales_per_octave=anchors.anchor_scales_per_octave,
        aspect_ratios=anchors.anchor_aspect_ratios,
        layout=build_anchor_layout(anchors),
    )


def build_anchor_matcher(anchors: AnchorSpec) -> Matcher:
    """What matches them with the ground truth."""
    return Matcher(
        positive_iou=anchors.positive_iou,
        negative_iou=anchors.negative_iou,
        min_positive_iou=anchors.min_positive_iou,
        low_quality_target=anchors.low_quality_target,
    )
