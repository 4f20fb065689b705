"""torchvision's detectors are installed anyway, so that no numbers of them need to be kept.

In float64: what differs then is what float32 makes of the pixels' mean and deviation, not the rounding of a
network.
"""

from functools import cache
from typing import Any

import pytest

from tests.parity import torchvision_dump
from tests.parity.compare_detection import compare_detection
from tests.parity.compare_training import compare_training
from tests.parity.differences import Difference
from tests.parity.filled_detector import build_filled
from tests.parity.torchvision_models import build

_TOLERANCE, _GRADIENT_TOLERANCE = 1e-6, 1e-4
"""Of a gradient more: a difference of 1e-8 may lie on either side of a ReLU's corner."""
_TESTED = ("torchvision", "torchvision-mask-v2")
"""With all that the others have, to save time."""
_FEW = {"num_train_proposals": 100, "num_test_proposals": 20, "num_samples": 16, "max_detections": 8}
_SETTINGS = [
    f"model.head.{part}.{name}={count}"
    for part, (name, count) in zip(("rpn", "rpn", "roi_head", "roi_head"), _FEW.items(), strict=True)
]
_SIZES = [(96, 128), (70, 90)]
"""On a canvas of 96 x 128, whose coarsest level has one row and a half."""


@cache
def differences(name: str) -> list[Difference]:
    model: Any = build(name, **_FEW)
    detector = build_filled(name, tensors=model.state_dict(), settings=_SETTINGS).double()
    model = model.double()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    detection = torchvision_dump.dump_detection(model, _SIZES)
    training = torchvision_dump.dump_training(model, _SIZES)
    return [
        *compare_detection(detector, _SIZES, detection),
        *compare_training(detector, _SIZES, training, shapes),
    ]


@pytest.mark.parametrize("name", _TESTED)
def test_every_stage_is_torchvisions(name: str) -> None:
    stages = [found for found in differences(name) if not found.stage.startswith("mask targets")]
    assert len(stages) == (19 if "mask" in name else 16)
    gradients = stages.pop()
    assert (gradients.stage, gradients.relative < _GRADIENT_TOLERANCE) == ("gradients", True)
    assert {found.stage: found.relative for found in stages if not found.relative < _TOLERANCE} == {}


@pytest.mark.parametrize("name", _TESTED)
def test_anchors_and_regions_are_assigned_alike_and_all_boxes_found(name: str) -> None:
    notes = {found.stage: found.note for found in differences(name)}
    assert all(" 0 of " not in note for note in notes.values())
    for stage in ("proposals", "detections"):
        found, _, theirs, _, _, ours, *_ = notes[stage].split()
        assert found == theirs == ours
    assigned = [found for found in differences(name) if found.stage.startswith("targets")]
    assert [found.absolute for found in assigned] == [0, 0]
