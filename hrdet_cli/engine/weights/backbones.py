"""Which backbone weights are those of, told by their shapes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

_HRNET_WIDTH = "backbone.stage4.0.branches.0.0.conv1.weight"
_PUBLISHED_HRNET_BLOCKS = "backbone.stage3.3.branches.0.3.conv1.weight"
_RESNET_DEPTH_BY_STAGE_3 = {6: 50, 23: 101}
_FIRST_GROUPS = "backbone.layer1.0.conv2.weight"
_V2_CHANNELS = 27
"""Two moves and a weight for each of nine taps."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone as a spec names it.

    Attributes:
        variant: ``w18``, ``small`` and so on of HRNet; of ResNet ``50``, ``101``, ``x101-32x4d``, and as
            mmdetection says it, ``50-dconv`` and ``50-mdconv`` where convolutions are deformable.
    """

    kind: Literal["hrnet", "resnet"]
    variant: str

    def __str__(self) -> str:
        if self.kind == "hrnet":
            return f"HRNetV2-{self.variant.upper()}"
        network, *deformed = re.split("-(?=m?dconv)", self.variant)
        name = f"ResNeXt-{network[1:].replace('-', ' ')}" if network.startswith("x") else f"ResNet-{network}"
        versions = {"dconv": "v1", "mdconv": "v2"}
        return name + "".join(f" with deformable convolutions {versions[word]}" for word in deformed)


def recognise_backbone(tensors: Mapping[str, Tensor]) -> Backbone | None:
    """Tell the backbone of weights by our names; None if hrdet has none like it."""
    if (conv := tensors.get(_HRNET_WIDTH)) is not None:
        return Backbone("hrnet", f"w{len(conv)}" if _PUBLISHED_HRNET_BLOCKS in tensors else "small")
    blocks = {found[1] for key in tensors if (found := re.match(r"backbone\.layer3\.(\d+)\.conv3\.", key))}
    depth = _RESNET_DEPTH_BY_STAGE_3.get(len(blocks))
    weight = tensors.get(_FIRST_GROUPS)
    if depth is None or weight is None or weight.dim() != 4:
        return None
    return Backbone("resnet", f"{_with_groups(depth, weight)}{_deformable(tensors)}")


def _with_groups(depth: int, weight: Tensor) -> str:
    if weight.shape[0] == weight.shape[1]:
        return str(depth)
    channels, group_width = weight.shape[:2]
    return f"x{depth}-{channels // group_width}x{group_width}d"


def _deformable(tensors: Mapping[str, Tensor]) -> str:
    moves = next((len(value) for key, value in tensors.items() if key.endswith(".conv_offset.bias")), 0)
    if moves == 0:
        return ""
    return "-mdconv" if moves % _V2_CHANNELS == 0 else "-dconv"
