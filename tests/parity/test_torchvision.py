"""torchvision's Faster R-CNN is installed anyway, so that no numbers of it need to be kept.

In float64: what differs then is what float32 makes of the pixels' mean and deviation, not the rounding of a
network.
"""

from typing import Any

import pytest

from tests.parity import torchvision_dump
from tests.parity.compare_detection import compare_detection
from tests.parity.compare_training import compare_training
from tests.parity.differences import Difference
from tests.parity.filled_detector import build_filled

_TOLERANCE = 1e-6
_FEW = (
    "model.head.rpn.num_train_proposals=200",
    "model.head.rpn.num_test_proposals=100",
    "model.head.roi_head.num_samples=64",
)
_SIZES = [(96, 128), (70, 90)]
"""On a canvas of 96 x 128, whose coarsest level has one row and a half."""


@pytest.fixture(scope="module")
def differences() -> list[Difference]:
    few: Any = torchvision_dump.build(num_train_proposals=200, num_test_proposals=100, num_samples=64)
    model = few.double()
    detection = torchvision_dump.dump_detection(model, _SIZES)
    training = torchvision_dump.dump_training(model, _SIZES)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    detector = build_filled("torchvision", shapes, settings=_FEW).double()
    return [
        *compare_detection(detector, _SIZES, detection),
        *compare_training(detector, _SIZES, training, shapes),
    ]


def test_every_stage_is_torchvisions(differences: list[Difference]) -> None:
    assert len(differences) == 16
    assert {found.stage: found.relative for found in differences if not found.relative < _TOLERANCE} == {}


def test_anchors_and_regions_are_assigned_alike_and_all_boxes_found(differences: list[Difference]) -> None:
    notes = {found.stage: found.note for found in differences}
    assert all(" 0 of " not in note for note in notes.values())
    for stage in ("proposals", "detections"):
        found, _, theirs, _, _, ours, *_ = notes[stage].split()
        assert found == theirs == ours
    assert [found.absolute for found in differences if found.stage.startswith("targets")] == [0, 0]
