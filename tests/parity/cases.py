"""Which detectors and which sizes are compared, for both sides of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One detector, as each side is asked for it.

    Attributes:
        preset: hrdet's.
        settings: What is changed of it, each ``key=value``.
        config: mmdetection's, below ``mmdet/.mim/configs``; None where the other side is torchvision.
        config_changes: What is changed of its ``model``, by dotted key.
        pixel_std: Of the normalised pixels, where that is not 1.
    """

    preset: str
    settings: Sequence[str] = ()
    config: str | None = None
    config_changes: Mapping[str, object] = field(default_factory=dict)
    pixel_std: float = 1.0


_W48 = {
    "backbone.extra.stage2.num_channels": (48, 96),
    "backbone.extra.stage3.num_channels": (48, 96, 192),
    "backbone.extra.stage4.num_channels": (48, 96, 192, 384),
    "neck.in_channels": [48, 96, 192, 384],
}
"""mmdetection has no configuration of this width."""


def _narrow_dense_changes() -> Mapping[str, object]:
    """Few channels in neck and head, in mmdetection's terms."""
    return {f"bbox_head.{key}": 64 for key in ("in_channels", "feat_channels")} | {"neck.out_channels": 64}


def _narrow_changes(
    *, box_stages: Sequence[str], mask_stages: Sequence[str] = (), has_semantic_head: bool = False
) -> dict[str, object]:
    """Few channels in all that follows the backbone, in mmdetection's terms.

    Args:
        box_stages: What stands behind ``bbox_head``: the number of each stage that has a section of its own.
        mask_stages: Likewise, behind ``mask_head``.
        has_semantic_head: Whether there is HTC's semantic branch.
    """
    channels: dict[str, object] = {
        "neck.out_channels": 64,
        "rpn_head.in_channels": 64,
        "rpn_head.feat_channels": 64,
        "roi_head.bbox_roi_extractor.out_channels": 64,
    }
    for stage in box_stages:
        channels |= {f"roi_head.bbox_head{stage}.in_channels": 64}
        channels |= {f"roi_head.bbox_head{stage}.fc_out_channels": 128}
    for stage in mask_stages:
        channels |= {"roi_head.mask_roi_extractor.out_channels": 64}
        channels |= {f"roi_head.mask_head{stage}.{key}": 64 for key in ("in_channels", "conv_out_channels")}
    if has_semantic_head:
        channels |= {"roi_head.semantic_roi_extractor.out_channels": 64}
        channels |= {f"roi_head.semantic_head.{key}": 64 for key in ("in_channels", "conv_out_channels")}
    return channels


_NARROW_DENSE = ["model.neck.channels=64", "model.head.channels=64"]
_NARROW = ["model.neck.channels=64", "model.head.roi_head.hidden_features=128"]
"""The same in hrdet's terms."""
_NARROW_MASK = [*_NARROW, "model.head.mask.channels=64"]
_ALL_TRAINS = ["model.backbone.frozen_stages=0"]
"""Frozen parts of torchvision's version 2 keep their weights, but not the statistics of their norms."""
_LAST_MASKS = "model.head.mask.average=last"
"""What HTC's masks are in version 3 alone."""
_STAGES = (".0", ".1", ".2")

CASES = {
    "w18": Case(preset="mmdet3-hrnet-w18", config="hrnet/faster-rcnn_hrnetv2p-w18-1x_coco.py"),
    "w32": Case(preset="mmdet3-hrnet-w32", config="hrnet/faster-rcnn_hrnetv2p-w32-1x_coco.py"),
    "w40": Case(preset="mmdet3-hrnet-w40", config="hrnet/faster-rcnn_hrnetv2p-w40-1x_coco.py"),
    "w48": Case(
        preset="mmdet3-hrnet-w40",
        settings=["model.backbone.width=w48"],
        config="hrnet/faster-rcnn_hrnetv2p-w40-1x_coco.py",
        config_changes=_W48,
    ),
    "r50": Case(preset="mmdet3-r50-fpn", config="faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"),
    "r101": Case(preset="mmdet3-r101-fpn", config="faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py"),
    "r50-caffe": Case(
        preset="mmdet3-r50-caffe-fpn",
        config="faster_rcnn/faster-rcnn_r50-caffe_fpn_1x_coco.py",
        pixel_std=58.0,
    ),
    "mask-w18": Case(preset="mmdet3-mask-hrnet-w18", config="hrnet/mask-rcnn_hrnetv2p-w18-1x_coco.py"),
    "mask-r50": Case(preset="mmdet3-mask-r50-fpn", config="mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py"),
    "cascade-w18": Case(
        preset="mmdet3-cascade-hrnet-w18", config="hrnet/cascade-rcnn_hrnetv2p-w18-20e_coco.py"
    ),
    "cascade-mask-w18": Case(
        preset="mmdet3-cascade-mask-hrnet-w18", config="hrnet/cascade-mask-rcnn_hrnetv2p-w18_20e_coco.py"
    ),
    "htc-w18": Case(
        preset="mmdet3-htc-hrnet-w18",
        settings=[_LAST_MASKS],
        config="hrnet/htc_hrnetv2p-w18_20e_coco.py",
    ),
    "retinanet-r50": Case(preset="mmdet3-retinanet-r50-fpn", config="retinanet/retinanet_r50_fpn_1x_coco.py"),
    "fcos-w18": Case(
        preset="mmdet3-fcos-hrnet-w18", config="hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py"
    ),
    # Quick ones, for tests.
    "mask-narrow": Case(
        preset="mmdet3-mask-hrnet-w18",
        settings=_NARROW_MASK,
        config="hrnet/mask-rcnn_hrnetv2p-w18-1x_coco.py",
        config_changes=_narrow_changes(box_stages=[""], mask_stages=[""]),
    ),
    "cascade-mask-narrow": Case(
        preset="mmdet3-cascade-mask-hrnet-w18",
        settings=_NARROW_MASK,
        config="hrnet/cascade-mask-rcnn_hrnetv2p-w18_20e_coco.py",
        config_changes=_narrow_changes(box_stages=_STAGES, mask_stages=[""]),
    ),
    "htc-narrow": Case(
        preset="mmdet3-htc-hrnet-w18",
        settings=[*_NARROW_MASK, _LAST_MASKS],
        config="hrnet/htc_hrnetv2p-w18_20e_coco.py",
        config_changes=_narrow_changes(box_stages=_STAGES, mask_stages=_STAGES, has_semantic_head=True),
    ),
    "retinanet-narrow": Case(
        preset="mmdet3-retinanet-r50-fpn",
        settings=_NARROW_DENSE,
        config="retinanet/retinanet_r50_fpn_1x_coco.py",
        config_changes=_narrow_dense_changes(),
    ),
    "fcos-narrow": Case(
        preset="mmdet3-fcos-hrnet-w18",
        settings=_NARROW_DENSE,
        config="hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py",
        config_changes=_narrow_dense_changes(),
    ),
    "torchvision": Case(preset="torchvision-r50-fpn"),
    "torchvision-v2": Case(preset="torchvision-r50-fpn-v2", settings=_ALL_TRAINS),
    "torchvision-mask": Case(preset="torchvision-mask-r50-fpn"),
    "torchvision-mask-v2": Case(preset="torchvision-mask-r50-fpn-v2", settings=_ALL_TRAINS),
}

DETECTION_BATCHES = {
    "128x96": [(96, 128)],
    "333x250": [(250, 333)],
    "101x203": [(203, 101)],
    "800x608": [(608, 800)],
    "three": [(150, 217), (128, 160), (97, 131)],
}
"""Pictures ``(height, width)`` of each batch: upright ones, and sides that are no multiples of 32."""

TRAINING_BATCHES = {
    "128x96": [(96, 128)],
    "450x350": [(350, 450)],
    "three": [(150, 217), (128, 160), (97, 131)],
}
"""Batches whose losses are compared; objects are up to half as long as their picture."""

CHAIN_SCALES = {"1333x800": ((1333, 800), 6), "500x300": ((500, 300), 23)}
"""Scales (long, short) at which picture files are detected in, and in how many of them: COCO's pictures are
about 640 pixels long, so that they grow at the first and shrink at the second."""


MASK_TARGET_SCALES = {"1333x800": (1333, 800), "500x300": (500, 300)}
"""Scales (long, short) at which mask targets of annotated pictures are compared."""


def original_size(height: int, width: int) -> tuple[int, int]:
    """What a compared picture is said to have been before it was resized; both axes differ a little."""
    return round(height * 0.73), round(width * 0.74)
