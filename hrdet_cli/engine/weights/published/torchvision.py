"""Torchvision's detectors, first and second versions. Does not import torch, nor torchvision, which is slow.

Source: ``torchvision/models/detection`` of torchvision 0.29, which a test compares.
"""

from hrdet_cli.engine.weights.names import TORCHVISION
from hrdet_cli.engine.weights.published.entry import PublishedWeights

_FILES = "https://download.pytorch.org/models"
_PAGE = "https://docs.pytorch.org/vision/stable/models.html"

_ROWS: tuple[tuple[str, str, str, float, float | None, str], ...] = (
    ("fasterrcnn_resnet50_fpn", "258fb6c6", "Faster R-CNN", 37.0, None, "torchvision-r50-fpn"),
    ("fasterrcnn_resnet50_fpn_v2", "dd69338a", "Faster R-CNN", 46.7, None, "torchvision-r50-fpn-v2"),
    ("maskrcnn_resnet50_fpn", "bf2d0c1e", "Mask R-CNN", 37.9, 34.6, "torchvision-mask-r50-fpn"),
    ("maskrcnn_resnet50_fpn_v2", "73cbd019", "Mask R-CNN", 47.4, 41.8, "torchvision-mask-r50-fpn-v2"),
    ("retinanet_resnet50_fpn", "eeacb38b", "RetinaNet", 36.4, None, "torchvision-retinanet-r50-fpn"),
    ("retinanet_resnet50_fpn_v2", "5905b1c5", "RetinaNet", 41.5, None, "torchvision-retinanet-r50-fpn-v2"),
    ("fcos_resnet50_fpn", "99b0c9b7", "FCOS", 39.2, None, "torchvision-fcos-r50-fpn"),
)
"""Name, start of the SHA-256, network, box AP, mask AP, preset."""

DETECTORS = tuple(
    PublishedWeights(
        publisher="torchvision",
        network=network,
        backbone="ResNet-50 FPN",
        schedule="COCO_V1, version 2" if name.endswith("_v2") else "COCO_V1",
        figures={"box AP": box_ap} | ({} if mask_ap is None else {"mask AP": mask_ap}),
        page=_PAGE,
        name=f"{TORCHVISION}{name}",
        addresses=(f"{_FILES}/{name}_coco-{digest}.pth",),
        preset=preset,
    )
    for name, digest, network, box_ap, mask_ap, preset in _ROWS
)
