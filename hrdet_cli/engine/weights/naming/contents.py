"""What is in a weights file, told by our names of its tensors: which detector, on which backbone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hrdet_cli.engine.weights.backbones import Backbone, recognise_backbone
from hrdet_cli.engine.weights.naming.renaming import Tensors

HeadKind = Literal["faster_rcnn", "cascade_rcnn", "retinanet", "fcos", "rpn"]
"""As specs name them."""
_LAYERS: Mapping[HeadKind, str] = MappingProxyType(
    {
        "faster_rcnn": "roi_head.classifier",
        "cascade_rcnn": "roi_head.stages.0.classifier",
        "retinanet": "retina_head.class_logits",
        "fcos": "fcos_head.class_logits",
        "rpn": "rpn.objectness",
    }
)
"""A layer of each kind of head that those before it have not."""
_MASKS = re.compile(r"mask_head\.(?:stages\.\d+\.)?logits\.")
_MASK_FLOW = re.compile(r"mask_head\.stages\.\d+\.conv_res\.")
_SEMANTIC_HEAD = re.compile(r"semantic_head\.")

_NORMS = re.compile(r"(?!backbone\.).*(?:\.norm|_blocks\.\d+\.1)\.weight")


@dataclass(frozen=True, slots=True)
class Contents:
    """The parts that are there.

    Attributes:
        backbone: None where hrdet has none like it.
        head: None of a backbone alone.
        has_masks: Whether objects get masks.
        has_mask_flow: Whether a stage's masks go on to the next, as in HTC.
        has_semantic_head: Whether there is HTC's branch that sees what is not to be counted, too.
        has_norms: Whether norms are in neck or head, too.
    """

    backbone: Backbone | None
    head: HeadKind | None
    has_masks: bool = False
    has_mask_flow: bool = False
    has_semantic_head: bool = False
    has_norms: bool = False

    @property
    def is_detector(self) -> bool:
        """Whether there is more than a backbone."""
        return self.head is not None

    @property
    def has_classes(self) -> bool:
        """Whether it tells classes apart; what only proposes does not."""
        return self.head not in (None, "rpn")

    @property
    def scores_background(self) -> bool:
        """Whether the background is one of the classes that are scored; one-stage heads need none."""
        return self.head in ("faster_rcnn", "cascade_rcnn")

    def __str__(self) -> str:
        if self.head is None:
            return "a backbone" if self.backbone is None else f"{self.backbone} backbone"
        if self.has_mask_flow:
            return "HTC" if self.has_semantic_head else "HTC without its semantic branch"
        name = {
            "faster_rcnn": "Mask R-CNN" if self.has_masks else "Faster R-CNN",
            "cascade_rcnn": "Cascade Mask R-CNN" if self.has_masks else "Cascade R-CNN",
            "retinanet": "RetinaNet",
            "fcos": "FCOS",
            "rpn": "region proposal network",
        }[self.head]
        return f"{name} with a semantic branch" if self.has_semantic_head else name


def contents_of(tensors: Tensors) -> Contents:
    """Tell what is there.

    Args:
        tensors: By our names.
    """
    return Contents(
        backbone=recognise_backbone(tensors),
        head=next((kind for kind, layer in _LAYERS.items() if f"{layer}.weight" in tensors), None),
        has_masks=_has(tensors, _MASKS),
        has_mask_flow=_has(tensors, _MASK_FLOW),
        has_semantic_head=_has(tensors, _SEMANTIC_HEAD),
        has_norms=_has(tensors, _NORMS),
    )


def _has(tensors: Tensors, pattern: re.Pattern[str]) -> bool:
    return any(pattern.match(key) for key in tensors)
