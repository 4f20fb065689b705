"""mmdetection's names, in its versions 2 and 3; those before had no ``roi_head``.

Sources: ``mmdet/models`` of mmdetection 3.3 (``necks``, ``dense_heads``, ``roi_heads``).
"""

from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import (
    LayerNames,
    Tensors,
    renamed_to_ours,
    renamed_to_theirs,
)
from hrdet_cli.engine.weights.naming.writer import Writer

NUM_HRFPN_LEVELS = 5

_RPN = (
    LayerNames("rpn_head.rpn_conv", "rpn.conv"),
    LayerNames("rpn_head.rpn_cls", "rpn.objectness"),
    LayerNames("rpn_head.rpn_reg", "rpn.deltas"),
)
_HRFPN = (
    LayerNames("neck.reduction_conv.conv", "neck.reduction_conv"),
    LayerNames("neck.reduction_conv.0", "neck.reduction_conv"),  # in HRNet-Object-Detection
    LayerNames("neck.fpn_convs.{}.conv", "neck.fpn_convs.{}"),
    LayerNames("neck.fpn_conv.{}", "neck.fpn_convs.{}"),  # likewise
)
_FPN = (
    LayerNames("neck.lateral_convs.{}.conv", "neck.pyramid.inner_blocks.{}.0"),
    LayerNames("neck.fpn_convs.{}.conv", "neck.pyramid.layer_blocks.{}.0"),
)


def layer_names(*, has_fpn: bool, region_prefix: str) -> tuple[LayerNames, ...]:
    """What layers are called.

    Args:
        has_fpn: Whether the neck is FPN, not HRFPN.
        region_prefix: What stands before the heads that look at regions.
    """
    return (*(_FPN if has_fpn else _HRFPN), *_RPN, *_box_head(f"{region_prefix}bbox_head"))


def to_mmdetection(tensors: Tensors) -> dict[str, Tensor]:
    """Rename the tensors of our detector to what mmdetection 3 calls them: the inverse of ``to_ours``.

    Args:
        tensors: The ``state_dict`` of a detector, or of a part of it with the part's prefix.
    """
    has_fpn = any(key.startswith("neck.pyramid.") for key in tensors)
    return renamed_to_theirs(tensors, layer_names(has_fpn=has_fpn, region_prefix="roi_head."))


def renamed_from_mmdetection(tensors: Tensors, *, region_prefix: str) -> dict[str, Tensor]:
    """Give tensors our names; arguments as of `layer_names`."""
    own = _with_own_convs(tensors)
    has_fpn = any(key.startswith("neck.lateral_convs.") for key in own)
    return renamed_to_ours(own, layer_names(has_fpn=has_fpn, region_prefix=region_prefix))


def _box_head(theirs: str) -> tuple[LayerNames, ...]:
    return (
        LayerNames(f"{theirs}.shared_fcs.0", "roi_head.fc1"),
        LayerNames(f"{theirs}.shared_fcs.1", "roi_head.fc2"),
        LayerNames(f"{theirs}.fc_cls", "roi_head.classifier"),
        LayerNames(f"{theirs}.fc_reg", "roi_head.regressor"),
    )


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
    return "roi_head.bbox_head.fc_cls.weight" in tensors


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    return renamed_from_mmdetection(tensors, region_prefix="roi_head.")


MMDETECTION = Writer(
    name="mmdetection 2 or 3",
    wrote=_wrote,
    renamed=_renamed,
    background="last",
    other_heads=(
        (r"(?:roi_head\.)?bbox_head\.0\.", "a Cascade R-CNN"),
        (r"bbox_head\.retina_", "RetinaNet or another one-stage detector"),
        (r"bbox_head\.conv_", "FCOS, ATSS or another one-stage detector"),
    ),
)
