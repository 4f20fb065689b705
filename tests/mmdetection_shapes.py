"""Names and shapes of mmdetection 3.3's detectors behind their backbones, part by part.

Written down from ``mmdet/models`` (``necks``, ``dense_heads``, ``roi_heads``) and compared with the state
dicts of the models that its configurations build.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]

_CHANNELS, _HIDDEN, _CELLS = 256, 1024, 49
_NUM_CLASSES, _NUM_STUFF_CLASSES = 80, 183


def layer(name: str, *weight: int) -> dict[str, Shape]:
    """A layer with a bias for each of its outputs."""
    return {f"{name}.weight": weight, f"{name}.bias": (weight[0],)}


def conv_module(name: str, *weight: int, norm: str | None = None) -> dict[str, Shape]:
    """mmcv's convolution with a norm, and without a bias, or without a norm."""
    if norm is None:
        return layer(f"{name}.conv", *weight)
    shapes = {f"{name}.conv.weight": weight, **layer(f"{name}.{norm}", weight[0])}
    if norm == "bn":
        statistics = {f"{name}.bn.running_{statistic}": (weight[0],) for statistic in ("mean", "var")}
        return {**shapes, **statistics, f"{name}.bn.num_batches_tracked": ()}
    return shapes


def merged(parts: Iterator[dict[str, Shape]]) -> dict[str, Shape]:
    """All names of some parts."""
    return {name: shape for part in parts for name, shape in part.items()}


def hrfpn(width: int) -> dict[str, Shape]:
    """HRFPN on an HRNet of that width."""
    levels = (conv_module(f"neck.fpn_convs.{level}", _CHANNELS, _CHANNELS, 3, 3) for level in range(5))
    return {**conv_module("neck.reduction_conv", _CHANNELS, 15 * width, 1, 1), **merged(levels)}


def fpn(*in_channels: int, of_c5: int | None = None, norm: str | None = None) -> dict[str, Shape]:
    """FPN on a ResNet; ``of_c5`` are the channels of what P6 is made of by a convolution."""
    shapes: dict[str, Shape] = {}
    for level, channels in enumerate(in_channels):
        shapes |= conv_module(f"neck.lateral_convs.{level}", _CHANNELS, channels, 1, 1, norm=norm)
        shapes |= conv_module(f"neck.fpn_convs.{level}", _CHANNELS, _CHANNELS, 3, 3, norm=norm)
    if of_c5 is not None:
        for level, channels in ((len(in_channels), of_c5), (len(in_channels) + 1, _CHANNELS)):
            shapes |= conv_module(f"neck.fpn_convs.{level}", _CHANNELS, channels, 3, 3, norm=norm)
    return shapes


def rpn(name: str = "rpn_head") -> dict[str, Shape]:
    """What proposes, with three anchors a cell."""
    return {
        **layer(f"{name}.rpn_conv", _CHANNELS, _CHANNELS, 3, 3),
        **layer(f"{name}.rpn_cls", 3, _CHANNELS, 1, 1),
        **layer(f"{name}.rpn_reg", 12, _CHANNELS, 1, 1),
    }


def box_head(name: str, *, num_boxes: int = _NUM_CLASSES) -> dict[str, Shape]:
    """Two fully connected layers and the two outputs."""
    return {
        **layer(f"{name}.fc_cls", _NUM_CLASSES + 1, _HIDDEN),
        **layer(f"{name}.fc_reg", 4 * num_boxes, _HIDDEN),
        **layer(f"{name}.shared_fcs.0", _HIDDEN, _CHANNELS * _CELLS),
        **layer(f"{name}.shared_fcs.1", _HIDDEN, _HIDDEN),
    }


def mask_head(name: str, *, norm: str | None = None, has_flow: bool = False) -> dict[str, Shape]:
    """Four convolutions, a deconvolution and the logits; in HTC one more for what the last stage made."""
    convs = (conv_module(f"{name}.convs.{i}", _CHANNELS, _CHANNELS, 3, 3, norm=norm) for i in range(4))
    return {
        **merged(convs),
        **layer(f"{name}.upsample", _CHANNELS, _CHANNELS, 2, 2),
        **layer(f"{name}.conv_logits", _NUM_CLASSES, _CHANNELS, 1, 1),
        **(conv_module(f"{name}.conv_res", _CHANNELS, _CHANNELS, 1, 1) if has_flow else {}),
    }


def semantic_head(name: str) -> dict[str, Shape]:
    """Five levels fused, four convolutions, an embedding and the logits."""
    laterals = (conv_module(f"{name}.lateral_convs.{i}", _CHANNELS, _CHANNELS, 1, 1) for i in range(5))
    convs = (conv_module(f"{name}.convs.{i}", _CHANNELS, _CHANNELS, 3, 3) for i in range(4))
    return {
        **merged(laterals),
        **merged(convs),
        **conv_module(f"{name}.conv_embedding", _CHANNELS, _CHANNELS, 1, 1),
        **layer(f"{name}.conv_logits", _NUM_STUFF_CLASSES, _CHANNELS, 1, 1),
    }


def dense_convs(*, norm: str | None = None) -> dict[str, Shape]:
    """Four convolutions for classes and four for boxes."""
    names = (f"bbox_head.{kind}_convs.{i}" for kind in ("cls", "reg") for i in range(4))
    return merged(conv_module(name, _CHANNELS, _CHANNELS, 3, 3, norm=norm) for name in names)


def retina_head() -> dict[str, Shape]:
    """RetinaNet's, with nine anchors a cell."""
    return {
        **dense_convs(),
        **layer("bbox_head.retina_cls", 9 * _NUM_CLASSES, _CHANNELS, 3, 3),
        **layer("bbox_head.retina_reg", 36, _CHANNELS, 3, 3),
    }


def fcos_head(*, norm: str = "gn", prefix: str = "conv") -> dict[str, Shape]:
    """FCOS's; its last layers were called ``fcos_cls`` and so on before."""
    return {
        **dense_convs(norm=norm),
        **layer(f"bbox_head.{prefix}_cls", _NUM_CLASSES, _CHANNELS, 3, 3),
        **layer(f"bbox_head.{prefix}_reg", 4, _CHANNELS, 3, 3),
        **layer(f"bbox_head.{prefix}_centerness", 1, _CHANNELS, 3, 3),
        **{f"bbox_head.scales.{level}.scale": () for level in range(5)},
    }


def regions(prefix: str = "roi_head.", *, has_masks: bool = False) -> dict[str, Shape]:
    """Faster and Mask R-CNN's heads; before version 2 without a prefix."""
    masks = mask_head(f"{prefix}mask_head") if has_masks else {}
    return {**rpn(), **box_head(f"{prefix}bbox_head"), **masks}


def cascade(
    prefix: str = "roi_head.", *, has_masks: bool = False, has_flow: bool = False, is_htc: bool = False
) -> dict[str, Shape]:
    """Three stages; HTC's first stage gets no masks of another."""
    boxes = merged(box_head(f"{prefix}bbox_head.{stage}", num_boxes=1) for stage in range(3))
    masks = merged(
        mask_head(f"{prefix}mask_head.{stage}", has_flow=(has_flow or is_htc) and stage > 0)
        for stage in range(3 if has_masks else 0)
    )
    return {**rpn(), **boxes, **masks, **(semantic_head(f"{prefix}semantic_head") if is_htc else {})}


R50 = (256, 512, 1024, 2048)

BEHIND_THE_BACKBONE: Mapping[str, Shapes] = MappingProxyType(
    {
        "hrnet/faster-rcnn_hrnetv2p-w18-1x_coco": {**hrfpn(18), **regions()},
        "hrnet/mask-rcnn_hrnetv2p-w18-1x_coco": {**hrfpn(18), **regions(has_masks=True)},
        "hrnet/cascade-rcnn_hrnetv2p-w18-20e_coco": {**hrfpn(18), **cascade()},
        "hrnet/cascade-mask-rcnn_hrnetv2p-w18_20e_coco": {**hrfpn(18), **cascade(has_masks=True)},
        "hrnet/htc_hrnetv2p-w18_20e_coco": {**hrfpn(18), **cascade(has_masks=True, is_htc=True)},
        "htc/htc-without-semantic_r50_fpn_1x_coco": {
            **fpn(*R50),
            **cascade(has_masks=True, has_flow=True),
        },
        "hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco": {**hrfpn(18), **fcos_head()},
        "faster_rcnn/faster-rcnn_r50_fpn_1x_coco": {**fpn(*R50), **regions()},
        "mask_rcnn/mask-rcnn_r50_fpn_1x_coco": {**fpn(*R50), **regions(has_masks=True)},
        "retinanet/retinanet_r50_fpn_1x_coco": {**fpn(*R50[1:], of_c5=R50[-1]), **retina_head()},
        "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco": {**fpn(*R50[1:], of_c5=_CHANNELS), **fcos_head()},
        "rpn/rpn_r50_fpn_1x_coco": {**fpn(*R50), **rpn("bbox_head")},
    }
)
"""By the configuration that builds them."""
