"""The comparison with onnxruntime, on models that always give the same answer."""

from typing import cast

import numpy as np
import pytest
import torch

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Detections, ImageBatch
from tests.onnx_models import model_that_finds

pytest.importorskip("onnx", reason='needs the extra "export"')
pytest.importorskip("onnxruntime", reason='needs the extra "export"')

from hrdet_cli.engine.export.onnx_check import Agreement, compare_with_onnxruntime

Rows = list[tuple[float, float, int]]
"""Left edge, score and label of each detection; all are 10 pixels wide and high."""

FOUND: Rows = [(5.0, 0.9, 0), (30.0, 0.8, 1), (60.0, 0.7, 0)]
PICTURE = torch.zeros(3, 40, 96, dtype=torch.uint8)


def boxes_of(rows: Rows) -> np.ndarray:
    return np.array([[x, 5, x + 10, 15] for x, _, _ in rows], dtype=np.float32).reshape(-1, 4)


class DetectorThatFinds:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def detect(self, images: ImageBatch) -> Detections:
        assert images.sizes.tolist() == [[40, 96]]
        assert tuple(images.pixels.shape) == (1, 3, 64, 96)
        num_padding = 2
        found = (
            torch.from_numpy(boxes_of(self.rows)),
            torch.tensor([score for _, score, _ in self.rows]),
            torch.tensor([label for *_, label in self.rows], dtype=torch.int64),
            torch.ones(len(self.rows), dtype=torch.bool),
        )
        padded = (torch.cat((t, t.new_zeros(num_padding, *t.shape[1:])))[None] for t in found)
        return Detections(*padded)


def compare(ours: Rows, theirs: Rows) -> Agreement:
    detector = cast("Detector", DetectorThatFinds(ours))
    model = model_that_finds(
        boxes_of(theirs), [score for _, score, _ in theirs], [label for *_, label in theirs]
    )
    (agreement,) = compare_with_onnxruntime(model.SerializeToString(), detector, [PICTURE])
    return agreement


def test_equal_detections_do_not_differ() -> None:
    same = compare(FOUND, FOUND)
    assert (same.num_detections, same.num_exported, same.num_alone) == (3, 3, 0)
    assert (same.box_difference_pixels, same.score_difference, same.is_close) == (0.0, 0.0, True)
    assert str(same.size) == "96x40"


def test_the_largest_differences_of_counterparts_are_told() -> None:
    close = compare(FOUND, [(5.0, 0.9, 0), (30.0625, 0.8, 1), (60.0, 0.703125, 0)])
    assert close.box_difference_pixels == 0.0625
    assert close.score_difference == pytest.approx(0.003125, rel=1e-4)
    assert close.is_close


def test_an_order_that_rounding_changed_does_not_matter() -> None:
    swapped = compare([(5.0, 0.5001, 0), (30.0, 0.5, 0)], [(30.0, 0.5, 0), (5.0, 0.5001, 0)])
    assert (swapped.num_alone, swapped.box_difference_pixels) == (0, 0.0)


@pytest.mark.parametrize(
    "theirs",
    [
        pytest.param([(5.0, 0.9, 0), (30.0, 0.8, 1), (60.5, 0.7, 0)], id="box"),
        pytest.param([(5.0, 0.9, 0), (30.0, 0.8, 1), (60.0, 0.75, 0)], id="score"),
        pytest.param([(5.0, 0.9, 0), (30.0, 0.8, 0), (60.0, 0.7, 0)], id="label"),
    ],
)
def test_detections_that_differ_by_more_have_no_counterpart(theirs: Rows) -> None:
    different = compare(FOUND, theirs)
    assert (different.num_alone, different.is_close) == (2, False)


def test_one_detection_cannot_be_the_counterpart_of_two() -> None:
    doubled = compare([(5.0, 0.9, 0), (5.0, 0.9, 0)], [(5.0, 0.9, 0)])
    assert (doubled.num_detections, doubled.num_exported, doubled.num_alone) == (2, 1, 1)


def test_one_in_twenty_may_be_alone() -> None:
    many = [(float(2 * number), 0.5, number) for number in range(20)]
    assert compare(many, many[:-2]).is_close is False  # 2 of 38
    assert compare(many, many[:-1]).is_close is True  # 1 of 39


def test_nothing_may_be_found() -> None:
    nothing = compare([], [])
    assert (nothing.num_detections, nothing.num_alone, nothing.is_close) == (0, 0, True)
    assert compare(FOUND, []).is_close is False
    assert compare([], FOUND).is_close is False
