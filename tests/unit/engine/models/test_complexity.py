"""Size and work of the whole detector against the figures published for HRNetV2p and Faster R-CNN.

The figures come with no rule; these counts give all eight of them to the last digit.  Parameters: those of
convolutions and fully connected layers, in units of 2^20.  Work: multiply-adds, in units of 2^30, of all
convolutions on one picture of 1216x800 pixels and of the region head's two hidden layers on 512 regions.
"""

from functools import cache
from math import prod
from typing import Any

import pytest
import torch
from torch import nn

from hrdet_cli.engine.benchmarking.traffic import CountingMode
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.model import ModelSpec
from tests.two_stage import two_stage

pytestmark = pytest.mark.slow

NUM_COCO_CLASSES = 80


@cache
def build_detector(width: str) -> Detector:
    """On the meta device, which knows shapes but computes nothing; nobody changes it."""
    with torch.device("meta"):
        spec = ModelSpec.model_validate({"backbone": {"kind": "hrnet", "width": width}})
        return build_plain_detector(spec, num_classes=NUM_COCO_CLASSES)


class WorkCounter(CountingMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """Multiply-adds of convolutions and fully connected layers, while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self.multiply_adds += output.numel() * prod(args[1].shape[1:])
        elif func is torch.ops.aten.addmm.default:
            self.multiply_adds += output.numel() * args[1].shape[1]
        return output


def count_multiply_adds(detector: Detector) -> int:
    pixels = torch.empty(1, 3, 800, 1216, device="meta")
    regions = torch.empty(512, 256 * 7 * 7, device="meta")
    with torch.no_grad(), WorkCounter() as counter:
        head = two_stage(detector)
        head.rpn(detector.neck(detector.backbone(pixels)))
        hidden = head.roi_head.fc1(regions)
        assert head.roi_head.fc2 is not None
        head.roi_head.fc2(hidden)
    return int(counter.multiply_adds)


@pytest.mark.parametrize(
    ("width", "num_parameters", "num_multiply_adds"),
    [("w18", 26.2, 159.1), ("w32", 45.0, 245.3), ("w40", 60.5, 314.9), ("w48", 79.4, 399.1)],
)
def test_size_and_work_are_the_published_ones(
    width: str, num_parameters: float, num_multiply_adds: float
) -> None:
    detector = build_detector(width)
    weights = [
        parameter
        for module in detector.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        for parameter in module.parameters()
    ]

    assert round(sum(weight.numel() for weight in weights) / 2**20, 1) == num_parameters
    assert round(count_multiply_adds(detector) / 2**30, 1) == num_multiply_adds


def test_the_w18_detector_has_27_and_a_half_million_parameters_norms_included() -> None:
    # backbone 9,562,260; neck 3,019,776; RPN 593,935; head 12,846,080 + 1,049,600 + 83,025 + 327,680 + 320
    assert sum(p.numel() for p in build_detector("w18").parameters()) == 27_482_676


def test_the_small_backbone_does_an_eighth_of_the_work_of_w18() -> None:
    pixels = torch.empty(1, 3, 256, 320, device="meta")
    work = {}
    for width in ("small", "w18"):
        with torch.device("meta"):
            network = HRNet(HRNET_CONFIGS[width])
        with torch.no_grad(), WorkCounter() as counter:
            network(pixels)
        work[width] = int(counter.multiply_adds)

    assert 0 < work["small"] <= work["w18"] / 8
