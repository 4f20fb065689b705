"""Small dense heads with random weights, and what they work on, for tests that look into them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, CellArea
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.fcos import FcosHead, PointScoring
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.point_matching import PointMatcher
from hrdet_cli.engine.models.dense.retina import Averaging, RetinaHead
from hrdet_cli.engine.models.normed_convs import NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Size, Targets

NUM_CLASSES, CHANNELS = 3, 8
STRIDES = (8, 16, 32)
CANVAS = Size(64, 96)
SIZES = ((64, 96), (40, 50))


def make_retina_head(
    *,
    norm: NormChoice | None = None,
    averaging: Averaging = "batch",
    area: CellArea = "picture",
    num_candidates: int = 40,
    strides: Sequence[int] = STRIDES,
) -> RetinaHead:
    """With 6 anchors a cell."""
    torch.manual_seed(0)
    return RetinaHead(
        in_channels=CHANNELS,
        num_classes=NUM_CLASSES,
        channels=CHANNELS,
        num_convs=2,
        norm=norm,
        prior_probability=0.01,
        anchor_generator=AnchorGenerator(
            strides=strides,
            scale=2,
            scales_per_octave=2,
            aspect_ratios=(0.5, 1.0, 2.0),
            layout=AnchorLayout(area=area),
        ),
        coder=BoxCoder(stds=(1, 1, 1, 1)),
        matcher=Matcher(positive_iou=0.5, negative_iou=0.4, min_positive_iou=0.0),
        allowed_border=None,
        class_loss=FocalLoss(alpha=0.25, gamma=2.0),
        box_loss=BoxLoss(kind="l1"),
        averaging=averaging,
        num_candidates_per_level=num_candidates,
    )


def make_fcos_head(
    *,
    norm: NormChoice | None = "group",
    area: CellArea = "picture",
    distances: Literal["exponential", "strides"] = "exponential",
    centreness_from: Literal["classes", "boxes"] = "classes",
    centre_radius: float | None = None,
    box_loss: Literal["iou", "giou"] = "iou",
    rule: Literal["product", "geometric_mean"] = "product",
    score_threshold: float = 0.05,
    num_candidates: int = 40,
    strides: Sequence[int] = STRIDES,
) -> FcosHead:
    """For farthest sides of up to 14, 24 and any number of pixels on three levels."""
    torch.manual_seed(0)
    return FcosHead(
        in_channels=CHANNELS,
        num_classes=NUM_CLASSES,
        strides=tuple(strides),
        channels=CHANNELS,
        num_convs=2,
        norm=norm,
        prior_probability=0.01,
        point_layout=PointLayout(area=area),
        distances=distances,
        centreness_from=centreness_from,
        matcher=PointMatcher(range_ends=(14.0, 24.0)[: len(strides) - 1], centre_radius=centre_radius),
        class_loss=FocalLoss(alpha=0.25, gamma=2.0),
        box_loss=OverlapLoss(kind=box_loss),
        scoring=PointScoring(
            rule=rule, score_threshold=score_threshold, num_candidates_per_level=num_candidates
        ),
    )


def make_lively(head: nn.Module) -> None:
    """Outspoken about classes, and with boxes of some size."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            if name.startswith("scales"):
                parameter.add_(0.2 * noise)
            elif name.endswith("bias"):
                parameter.copy_(noise * 0.5)
            elif "norm" not in name:
                parameter.copy_(noise * 0.2)


def random_pyramid(dtype: torch.dtype = torch.float32) -> Pyramid:
    """Of two pictures."""
    generator = torch.Generator().manual_seed(0)
    levels = [
        torch.randn(
            2, CHANNELS, CANVAS.height // stride, CANVAS.width // stride, generator=generator, dtype=dtype
        )
        for stride in STRIDES
    ]
    return Pyramid(tuple(levels), strides=STRIDES)


def make_batch(num_boxes: tuple[int, int] = (3, 2)) -> tuple[ImageBatch, Targets]:
    """Two pictures on the canvas with some of four boxes each; the second is smaller."""
    images = ImageBatch(
        pixels=torch.zeros(2, 3, CANVAS.height, CANVAS.width, dtype=torch.uint8),
        sizes=torch.tensor(SIZES),
        keys=torch.tensor([1, 2]),
    )
    boxes = torch.tensor([[5, 6, 40, 30], [2, 1, 15, 17], [10, 3, 44, 38], [20, 12, 33, 36]])
    is_valid = torch.arange(4) < torch.tensor(num_boxes)[:, None]
    targets = Targets(
        boxes=(boxes + torch.tensor([[[0.0]], [[1.75]]])) * is_valid[..., None],
        labels=torch.tensor([[0, 2, 1, 0]]).expand(2, -1) * is_valid,
        is_valid=is_valid,
    )
    return images, targets
