"""torchvision's detectors with arithmetic weights, as they are after loading its own for COCO."""

from collections.abc import Callable
from typing import Any

import torch
from torchvision.models import detection
from torchvision.ops.misc import FrozenBatchNorm2d

from tests.parity.filling import fill

_BUILDERS: dict[str, Callable[..., Any]] = {
    "torchvision": detection.fasterrcnn_resnet50_fpn,
    "torchvision-v2": detection.fasterrcnn_resnet50_fpn_v2,
    "torchvision-mask": detection.maskrcnn_resnet50_fpn,
    "torchvision-mask-v2": detection.maskrcnn_resnet50_fpn_v2,
}
MODELS = tuple(_BUILDERS)


def build(
    name: str,
    *,
    num_train_proposals: int = 2000,
    num_test_proposals: int = 1000,
    num_samples: int = 512,
    max_detections: int = 100,
) -> Any:
    """A detector of version 1, whose norms are frozen, or 2, whose norms all train.

    Without weights to load, torchvision neither freezes norms nor anything else by itself.

    Args:
        name: One of ``MODELS``.
        num_train_proposals: Regions that leave the RPN in training; by default torchvision's own number.
        num_test_proposals: Likewise in evaluation.
        num_samples: Regions of a picture that the losses look at.
        max_detections: Detections kept in a picture.
    """
    model = _BUILDERS[name](
        weights=None,
        weights_backbone=None,
        rpn_post_nms_top_n_train=num_train_proposals,
        rpn_post_nms_top_n_test=num_test_proposals,
        box_batch_size_per_image=num_samples,
        box_detections_per_img=max_detections,
    )
    if not name.endswith("v2"):
        _freeze_norms(model.backbone)
        for parameter_name, parameter in model.backbone.body.named_parameters():
            parameter.requires_grad_(parameter_name.startswith(("layer2", "layer3", "layer4")))
    filled = fill({key: tuple(value.shape) for key, value in model.state_dict().items()})
    model.load_state_dict({key: torch.from_numpy(value) for key, value in filled.items()})
    return model


def _freeze_norms(module: torch.nn.Module) -> None:
    """Norms of version 1 for COCO have no epsilon."""
    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=0.0))
        else:
            _freeze_norms(child)
