"""mmdetection's files, of its versions 2 and 3."""

import re
from collections.abc import Iterator

from torch import Tensor

from hrdet_cli.engine.weights.naming.mmdetection_parts import (
    backbone,
    fcos_head,
    fpn,
    hrfpn,
    regions,
    retina_head,
    rpn,
)
from hrdet_cli.engine.weights.naming.renaming import (
    LayerNames,
    Tensors,
    renamed_to_ours,
    renamed_to_theirs,
)
from hrdet_cli.engine.weights.naming.writer import Writer

NUM_HRFPN_LEVELS = 5
_REGIONS = "roi_head."
"""Before the names of what looks at regions, since version 2."""
_RETINA = "bbox_head.retina_cls.weight"
_FCOS = ("bbox_head.conv_centerness.weight", "bbox_head.fcos_centerness.weight")
_LAYERS = (
    "roi_head.bbox_head.fc_cls.weight",
    "roi_head.bbox_head.0.fc_cls.weight",
    "rpn_head.rpn_cls.weight",
    "bbox_head.rpn_cls.weight",
    _RETINA,
    *_FCOS,
)
"""One of each kind of head; one-stage heads and what only proposes have had these names since 2018."""


def to_mmdetection(tensors: Tensors) -> dict[str, Tensor]:
    """Rename the tensors of our detector to what mmdetection 3 calls them: the inverse of ``to_ours``.

    Args:
        tensors: The ``state_dict`` of a detector, or of a part of it with the part's prefix; norms that have
            running statistics need them here, for their names depend on that.
    """
    num_laterals = _num_parts(tensors, r"neck\.pyramid\.inner_blocks\.(\d+)\.")
    neck = fpn(num_laterals=num_laterals) if num_laterals else hrfpn()
    is_alone = not any(key.startswith("roi_head.") for key in tensors)
    heads = (*rpn(is_alone=is_alone), *regions(_REGIONS), *retina_head(), *fcos_head())
    return renamed_to_theirs(tensors, [*backbone(), *neck, *heads])


def renamed_from_mmdetection(tensors: Tensors, *, region_prefix: str) -> dict[str, Tensor]:
    """Give tensors our names.

    Args:
        tensors: By mmdetection's.
        region_prefix: What stands before the names of the heads that look at regions.
    """
    own = _with_own_convs(tensors)
    return renamed_to_ours(own, [*_layer_names(own, region_prefix=region_prefix)])


def _layer_names(tensors: Tensors, *, region_prefix: str) -> Iterator[LayerNames]:
    num_laterals = _num_parts(tensors, r"neck\.lateral_convs\.(\d+)\.")
    yield from backbone()
    yield from fpn(num_laterals=num_laterals) if num_laterals else hrfpn()
    if _RETINA in tensors:
        yield from retina_head()
    elif any(key in tensors for key in _FCOS):
        yield from fcos_head()
    else:
        yield from rpn()
        yield from regions(region_prefix)


def _num_parts(tensors: Tensors, pattern: str) -> int:
    """How many numbers there are at a place in the keys."""
    return len({found[1] for key in tensors if (found := re.match(pattern, key))})


def _with_own_convs(tensors: Tensors) -> dict[str, Tensor]:
    """Give each level the convolution that all share in one form of 2019's HRFPN."""
    own: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        if key in ("neck.fpn_conv.weight", "neck.fpn_conv.bias"):
            name = key.rpartition(".")[2]
            own |= {f"neck.fpn_conv.{level}.{name}": tensor for level in range(NUM_HRFPN_LEVELS)}
        else:
            own[key] = tensor
    return own


def _wrote(tensors: Tensors) -> bool:
    return any(layer in tensors for layer in _LAYERS)


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    return renamed_from_mmdetection(tensors, region_prefix=_REGIONS)


MMDETECTION = Writer(
    name="mmdetection 2 or 3",
    wrote=_wrote,
    renamed=_renamed,
    background="last",
    other_heads=(
        (r"(?:roi_head\.)?grid_head\.", "Grid R-CNN"),
        (r"roi_head\.glbctx_head\.", "SCNet"),
        (r"(?:roi_head\.)?bbox_head\.conv_branch\.", "Double-Head R-CNN"),
        (r"(?:roi_head\.)?bbox_head\.(?:\d\.)?reg_pre_convs\.", "SABL"),
        (r"roi_head\.bbox_head\.fc_cls\.\d\.", "CrowdDet"),
        (
            r"(?:roi_head\.)?shared_head\.",
            "a detector whose regions go through the backbone's last stage (C4)",
        ),
        (r"rpn_head\.init_proposal_", "Sparse R-CNN or QueryInst"),
        (r"rpn_head\.stages\.", "Cascade RPN"),
        (r"(?:rpn|bbox)_head\.conv_(?:loc|shape)\.", "guided anchoring"),
        (r"neck\.rfp_modules\.", "DetectoRS"),
        (r"bbox_head\.retina_bbox_", "SABL RetinaNet"),
        (r"bbox_head\.atss_iou\.", "DDOD"),
        (r"bbox_head\.atss_", "ATSS or PAA"),
        (r"bbox_head\.gfl_", "GFL"),
        (r"bbox_head\.vfnet_", "VFNet"),
        (r"bbox_head\.tood_", "TOOD"),
        (r"bbox_head\.reppoints_", "RepPoints"),
        (r"bbox_head\.center_prior\.", "AutoAssign"),
        (r"bbox_head\.controller\.", "CondInst"),
        (r"bbox_head\.conv_coeff\.", "YOLACT"),
        (r"mask_head\.(?:kernel|mask)_convs", "SOLO"),
        (r"panoptic_head\.", "MaskFormer or Mask2Former"),
        (r"(?:bbox_head\.transformer\.)?decoder\.layers\.", "DETR or one of its successors"),
        (r"bbox_head\.multi_level_conv_", "YOLOX"),
        (r"bbox_head\.rtm_", "RTMDet"),
        (r"bbox_head\.convs_pred\.", "YOLOv3"),
        (r"bbox_head\.object_pred\.", "YOLOF"),
        (r"bbox_head\.(?:tl|br)_", "CornerNet"),
        (r"bbox_head\.(?:cls|reg)_convs\.\d\.\d\.", "SSD, or a head with norms of its own for each level"),
    ),
)
