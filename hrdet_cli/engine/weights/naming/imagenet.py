"""Backbones alone, which were trained to classify ImageNet: HRNet's authors', timm's, torchvision's.

All of them have the names of the first who published the network, and so have our backbones.
"""

from torch import Tensor

from hrdet_cli.engine.weights.naming.renaming import Tensors
from hrdet_cli.engine.weights.naming.writer import Writer

_PREFIX = "backbone."
_LAYERS = ("stage4.0.branches.0.0.conv1.weight", "layer4.0.conv3.weight")
"""Of HRNet and of ResNet."""
_PARTS_OF_DETECTORS = ("rpn", "roi_head", "bbox_head", "mask_head")


def _wrote(tensors: Tensors) -> bool:
    has_head = any(key.startswith(_PARTS_OF_DETECTORS) for key in tensors)
    return not has_head and any(
        f"{prefix}{layer}" in tensors for layer in _LAYERS for prefix in ("", _PREFIX)
    )


def _renamed(tensors: Tensors) -> dict[str, Tensor]:
    if any(key.startswith(_PREFIX) for key in tensors):
        return dict(tensors)
    return {f"{_PREFIX}{key}": tensor for key, tensor in tensors.items()}


IMAGENET = Writer(name="ImageNet", wrote=_wrote, renamed=_renamed, background=None)
