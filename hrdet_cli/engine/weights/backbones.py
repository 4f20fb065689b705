"""Which backbone weights are those of, told by their shapes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

_HRNET_WIDTH = "backbone.stage4.0.branches.0.0.conv1.weight"
_PUBLISHED_HRNET_BLOCKS = "backbone.stage3.3.branches.0.3.conv1.weight"
_RESNET_DEPTH_BY_STAGE_3 = {6: 50, 23: 101}


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone as a spec names it.

    Attributes:
        variant: ``w18``, ``small`` and so on of HRNet; ``50`` or ``101`` of ResNet.
    """

    kind: Literal["hrnet", "resnet"]
    variant: str

    def __str__(self) -> str:
        return f"HRNetV2-{self.variant.upper()}" if self.kind == "hrnet" else f"ResNet-{self.variant}"


def recognise_backbone(tensors: Mapping[str, Tensor]) -> Backbone | None:
    """Tell the backbone of weights by our names; None if hrdet has none like it."""
    if (conv := tensors.get(_HRNET_WIDTH)) is not None:
        return Backbone("hrnet", f"w{len(conv)}" if _PUBLISHED_HRNET_BLOCKS in tensors else "small")
    blocks = {found[1] for key in tensors if (found := re.match(r"backbone\.layer3\.(\d+)\.conv3\.", key))}
    depth = _RESNET_DEPTH_BY_STAGE_3.get(len(blocks))
    return None if depth is None else Backbone("resnet", str(depth))
