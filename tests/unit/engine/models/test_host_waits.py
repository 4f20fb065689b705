"""Nothing between a batch and its losses or detections makes the host wait for a GPU.

Fake tensors have a device, a shape and no values, so none of this needs a GPU: reading a value, or making a
shape of one, raises an error, and so does an operation on tensors of two devices.
"""

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.norm import kernels, valid_kernels
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

GPU = torch.device("cuda")
NUM_CLASSES, NUM_PICTURES, CANVAS = 3, 2, Size(128, 160)
DETECTORS = {
    "faster_rcnn": [],
    "mask_rcnn": ["model.head.mask={num_convs: 2, channels: 48}"],
    "cascade": ["model.head.kind=cascade_rcnn"],
    "retinanet": ["model.head.kind=retinanet"],
    "fcos": ["model.head.kind=fcos"],
}


@pytest.fixture(autouse=True)
def no_values(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Those of torch have no fake version. They return tensors on the device and tell the host nothing.
    for module in (kernels, valid_kernels):
        monkeypatch.setattr(module, "may_be_fused", lambda _features: False)
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    with FakeTensorMode():
        yield
    torch.__future__.set_swap_module_params_on_conversion(swaps)


def detector_on_gpu(name: str) -> Detector:
    settings = ["norm.statistics=valid", *DETECTORS[name]]
    spec = load_spec(preset="demo", settings=settings).spec
    return build_detector(spec, num_classes=NUM_CLASSES, trains=True).to(GPU)


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


@pytest.mark.parametrize("num_processes", [1, 2])
@pytest.mark.parametrize("name", DETECTORS)
def test_losses_are_computed_without_a_value_from_the_gpu(
    monkeypatch: pytest.MonkeyPatch, name: str, num_processes: int
) -> None:
    messages: list[Tensor] = []
    if num_processes > 1:
        monkeypatch.setattr(dist, "is_initialized", lambda: True)
        monkeypatch.setattr(dist, "get_rank", lambda: 0)
        monkeypatch.setattr(dist, "get_world_size", lambda: num_processes)
        monkeypatch.setattr(dist, "all_reduce", messages.append)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        losses = detector_on_gpu(name)(images_on_gpu(), targets_on_gpu())
    assert all(loss.device.type == "cuda" and loss.shape == () for loss in losses.values())
    assert bool(messages) == (num_processes > 1)
    assert all(message.device.type == "cuda" for message in messages)


@pytest.mark.parametrize("name", DETECTORS)
def test_detections_have_a_fixed_shape_and_need_no_value_from_the_gpu(name: str) -> None:
    detector = detector_on_gpu(name).eval()
    found = detector.detect(images_on_gpu())
    num_rows = detector.head.selector.max_detections
    assert found.boxes.shape == (NUM_PICTURES, num_rows, 4)
    assert found.is_valid.device.type == "cuda"
    if name == "mask_rcnn":
        assert found.masks is not None
        assert found.masks.shape[:2] == (NUM_PICTURES, num_rows)


def test_reading_a_value_would_be_noticed() -> None:
    keys = images_on_gpu().keys
    for wait in (lambda: keys.sum().item(), lambda: bool(keys.any()), lambda: keys.nonzero()):
        with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
            wait()
    with pytest.raises(RuntimeError):
        keys + torch.zeros(NUM_PICTURES)
