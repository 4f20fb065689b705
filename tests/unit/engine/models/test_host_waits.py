"""Nothing between a batch and its losses or detections makes the host wait for a GPU.

Fake tensors have a device, a shape and no values, so none of this needs a GPU: reading a value, or making a
shape of one, raises an error, and so does an operation on tensors of two devices.
"""

from contextlib import nullcontext

import pytest
import torch
import torch.distributed as dist
import torchvision  # noqa: F401 - registers the shapes of what its operators compute
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.nn import functional as F

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm import native_kernels, valid_kernels
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.head import build_head
from hrdet_cli.specs.loading import load_spec
from tests.autocast_on_gpu import autocast_on_gpu

GPU = torch.device("cuda")
NUM_CLASSES, NUM_PICTURES, CANVAS = 3, 2, Size(128, 256)
DETECTORS = {
    "faster_rcnn": [],
    "mask_rcnn": ["model.head.mask={num_convs: 2, channels: 48}"],
    "cascade": ["model.head.kind=cascade_rcnn"],
    "retinanet": ["model.head.kind=retinanet"],
    "fcos": ["model.head.kind=fcos"],
}


@pytest.fixture(autouse=True)
def plain_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of torch have no fake version. They return tensors on the device and tell the host nothing.
    monkeypatch.setattr(native_kernels, "may_be_fused", lambda _features: False)
    monkeypatch.setattr(valid_kernels, "may_be_fused", lambda _features: False)


class Trunk(nn.Module):
    """One convolution and one norm, and their maxima on coarser levels."""

    def __init__(self, channels: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, strides[0], stride=strides[0])
        self.norm = SyncBatchNorm2d(channels)
        self.num_levels = len(strides)

    def forward(self, pixels: Tensor, area: ValidArea | None) -> tuple[Tensor, ...]:
        levels = [normalise(self.norm, self.conv(pixels), area)]
        while len(levels) < self.num_levels:
            levels.append(F.max_pool2d(levels[-1], 2))
        return tuple(without_padding(level, area) for level in levels)


class NoNeck(nn.Module):
    def __init__(self, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.strides = strides

    def forward(self, levels: tuple[Tensor, ...], area: ValidArea | None) -> Pyramid:
        return Pyramid(levels, self.strides, area)


def build(name: str) -> Detector:
    """The head of a spec behind a small trunk."""
    model = load_spec(preset="demo", settings=DETECTORS[name]).spec.model
    strides = tuple(model.head.finest_stride << level for level in range(5))
    return Detector(
        backbone=Trunk(model.neck.channels, strides),
        neck=NoNeck(strides),
        head=build_head(model, num_classes=NUM_CLASSES, strides=strides),
        pixel_mean=(110.0, 110.0, 110.0),
        pixel_std=(60.0, 60.0, 60.0),
        hides_padding=True,
    )


def lose_values(detector: Detector, mode: FakeTensorMode) -> None:
    """Move all tensors to a GPU that there need not be."""
    for module in detector.modules():
        for name, parameter in module.named_parameters(recurse=False):
            module.register_parameter(name, nn.Parameter(mode.from_tensor(parameter).detach().to(GPU)))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, mode.from_tensor(buffer).to(GPU))


def images_on_gpu() -> ImageBatch:
    return ImageBatch(
        pixels=torch.zeros(NUM_PICTURES, 3, CANVAS.height, CANVAS.width, dtype=torch.uint8, device=GPU),
        sizes=torch.zeros(NUM_PICTURES, 2, dtype=torch.int64, device=GPU),
        keys=torch.zeros(NUM_PICTURES, dtype=torch.int64, device=GPU),
    )


def targets_on_gpu() -> Targets:
    rows = NUM_PICTURES, 40
    return Targets(
        boxes=torch.zeros(*rows, 4, device=GPU),
        labels=torch.zeros(rows, dtype=torch.int64, device=GPU),
        is_valid=torch.zeros(rows, dtype=torch.bool, device=GPU),
        masks=torch.zeros(*rows, 112, 112, dtype=torch.uint8, device=GPU),
    )


@pytest.mark.parametrize(("num_processes", "precision"), [(1, "float32"), (2, "bfloat16")])
@pytest.mark.parametrize("name", DETECTORS)
def test_losses_are_computed_without_a_value_from_the_gpu(
    monkeypatch: pytest.MonkeyPatch, name: str, num_processes: int, precision: str
) -> None:
    messages: list[Tensor] = []
    if num_processes > 1:
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_rank", lambda: 0)
        monkeypatch.setattr(dist, "get_world_size", lambda: num_processes)
        monkeypatch.setattr(dist, "all_reduce", messages.append)
    detector = build(name)
    with FakeTensorMode() as mode:
        lose_values(detector, mode)
        with autocast_on_gpu() if precision == "bfloat16" else nullcontext():
            losses = detector(images_on_gpu(), targets_on_gpu())
    assert all(loss.device.type == "cuda" and loss.shape == () for loss in losses.values())
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert bool(messages) == (num_processes > 1)
    assert all(message.device.type == "cuda" for message in messages)


@pytest.mark.parametrize("name", DETECTORS)
def test_detections_have_a_fixed_shape_and_need_no_value_from_the_gpu(name: str) -> None:
    detector = build(name).eval()
    with FakeTensorMode() as mode:
        lose_values(detector, mode)
        found = detector.detect(images_on_gpu())
    num_rows = detector.head.selector.max_detections
    assert found.boxes.shape == (NUM_PICTURES, num_rows, 4)
    assert found.is_valid.device.type == "cuda"
    if name == "mask_rcnn":
        assert found.masks is not None
        assert found.masks.shape[:2] == (NUM_PICTURES, num_rows)


def test_reading_a_value_would_be_noticed() -> None:
    with FakeTensorMode():
        keys = images_on_gpu().keys
        with pytest.raises(DataDependentOutputException):
            keys.sum().item()
        with pytest.raises(DataDependentOutputException):
            bool(keys.any())
        with pytest.raises(DynamicOutputShapeException):
            keys.nonzero()
        with pytest.raises(RuntimeError, match="devices"):
            keys + torch.zeros(NUM_PICTURES)
