"""What is in a weights file, told by our names of its tensors: which detector, on which backbone."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hrdet_cli.engine.weights.backbones import Backbone, recognise_backbone
from hrdet_cli.engine.weights.naming.renaming import Tensors

HeadKind = Literal["faster_rcnn"]
"""As specs name them."""
_HEADS: Mapping[HeadKind, str] = MappingProxyType({"faster_rcnn": "roi_head.classifier"})
"""A layer that a head has and no other."""
_NAMES: Mapping[HeadKind, str] = MappingProxyType({"faster_rcnn": "Faster R-CNN"})


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts that are there.

    Attributes:
        backbone: None where hrdet has none like it.
        head: None of a backbone alone.
    """

    backbone: Backbone | None
    head: HeadKind | None

    @property
    def is_detector(self) -> bool:
        """Whether there is more than a backbone."""
        return self.head is not None

    def __str__(self) -> str:
        if self.head is not None:
            return _NAMES[self.head]
        return "a backbone" if self.backbone is None else f"{self.backbone} backbone"


def contents_of(tensors: Tensors) -> Contents:
    """Tell what is there.

    Args:
        tensors: By our names.
    """
    head = next((kind for kind, layer in _HEADS.items() if f"{layer}.weight" in tensors), None)
    return Contents(backbone=recognise_backbone(tensors), head=head)
