"""Detectors of a single convolution and a small head, for tests that compile whole training steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.two_stage import TwoStageHead
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Candidates, ClassRows, Detections, ImageBatch, Targets
from tests import cascades

SELECTOR = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=20)


class OneConvolution(nn.Module):
    """A map for each stride."""

    def __init__(self, channels: int, strides: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, s, stride=s, bias=False) for s in strides)
        self.norm = SyncBatchNorm2d(channels)

    def forward(self, images: Tensor, area: ValidArea | None) -> tuple[Tensor, ...]:
        return tuple(normalise(self.norm, conv(images), area) for conv in self.convs)


class NoNeck(nn.Module):
    """Hands the backbone's maps on."""

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)

    def forward(self, features: tuple[Tensor, ...], area: ValidArea | None) -> Pyramid:
        return Pyramid(features, self.strides, area)


@dataclass(frozen=True)
class OneBoxHead:
    """Finds one box in every picture, and learns where the first one of the ground truth is."""

    corners: nn.Conv2d
    selector: DetectionSelector = SELECTOR

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"corners": self.corners}

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        return {}

    @property
    def matching_loss(self) -> str:
        return "box"

    def prepare(self, pyramid: Pyramid) -> Pyramid:
        return pyramid

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:  # noqa: ARG002 - as Head has it
        boxes = self._boxes(pyramid)
        num_boxes = mean_over_processes(targets.is_valid.sum().to(boxes.dtype))
        distance = (boxes - targets.boxes[:, 0]).abs().sum()
        return {"box": distance / num_boxes, "size": boxes.square().mean() / 1000}

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        boxes = self._boxes(pyramid)[:, None, None]
        return Candidates(boxes, sizes.new_full((len(boxes), 1, 1), 1, dtype=torch.float32))

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:  # noqa: ARG002 - as Head has it
        return found

    def _boxes(self, pyramid: Pyramid) -> Tensor:
        """``(N, 4)``."""
        corners: Tensor = self.corners(pyramid.levels[0]).mean(dim=(2, 3)).abs() * 60
        return torch.cat((corners[:, :2], corners[:, :2] + corners[:, 2:]), dim=1)


def make_detector(
    make_head: Callable[[], Head], *, channels: int, strides: Sequence[int], hides_padding: bool = False
) -> Detector:
    """In float64, in training mode, with the same random weights each time."""
    torch.manual_seed(0)
    detector = Detector(
        backbone=OneConvolution(channels, strides),
        neck=NoNeck(strides),
        head=make_head(),
        pixel_mean=(120.0, 110.0, 100.0),
        pixel_std=(60.0, 55.0, 50.0),
        hides_padding=hides_padding,
    )
    return detector.double()


def one_box_detector(*, hides_padding: bool = False) -> Detector:
    """The smallest there is."""
    return make_detector(
        lambda: OneBoxHead(nn.Conv2d(5, 4, 1)), channels=5, strides=(8,), hides_padding=hides_padding
    )


def two_stage_detector() -> Detector:
    """Of the parts of the small cascade, with masks."""
    return make_detector(_make_two_stages, channels=cascades.CHANNELS, strides=(cascades.STRIDE,))


def _make_two_stages() -> TwoStageHead:
    stage = cascades.make_stage(
        cascades.draw_some(1), positive_iou=0.5, loss_weight=1.0, stds=cascades.STDS[0]
    )
    masks = MaskBranch(
        in_channels=cascades.CHANNELS,
        num_classes=cascades.NUM_CLASSES,
        pooling=RegionPooling(strides=(cascades.STRIDE,), cells=4, sampling_ratio=2, aligned=True),
        num_convs=1,
        channels=4,
    )
    return TwoStageHead(
        rpn=cascades.make_rpn(),
        region_draw=stage.region_draw,
        roi_head=stage.box_stage,
        selector=SELECTOR,
        mask_head=masks,
    )


def noise_pictures(height: int, width: int) -> ImageBatch:
    """Two, of the sizes that the small cascade's ground truth belongs to."""
    generator = torch.Generator().manual_seed(7)
    pixels = torch.randint(256, (2, height, width, 3), dtype=torch.uint8, generator=generator)
    return ImageBatch(pixels.permute(0, 3, 1, 2), cascades.IMAGES.sizes, cascades.IMAGES.keys)
