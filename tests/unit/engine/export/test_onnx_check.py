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
    def __init__(self, rows: Rows, masks: np.ndarray | None) -> None:
        self.rows = rows
        self.masks = masks

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
        given = found if self.masks is None else (*found, torch.from_numpy(self.masks))
        padded = (torch.cat((t, t.new_zeros(num_padding, *t.shape[1:])))[None] for t in given)
        return Detections(*padded)


def compare(
    ours: Rows,
    theirs: Rows,
    *,
    our_masks: np.ndarray | None = None,
    their_masks: np.ndarray | None = None,
) -> Agreement:
    detector = cast("Detector", DetectorThatFinds(ours, our_masks))
    model = model_that_finds(
        boxes_of(theirs),
        [score for _, score, _ in theirs],
        [label for *_, label in theirs],
        masks=their_masks,
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


def test_masks_may_differ_by_a_hundredth_in_the_mean() -> None:
    masks = np.random.default_rng(0).random((3, 28, 28), dtype=np.float32)
    assert compare(FOUND, FOUND).mask_difference is None
    close = compare(FOUND, FOUND, our_masks=masks, their_masks=masks + np.float32(1 / 256))
    assert close.mask_difference == pytest.approx(1 / 256, rel=1e-3)
    assert close.num_alone == 0
    shifted = masks + np.array([0, 1 / 64, 0], dtype=np.float32)[:, None, None]
    far = compare(FOUND, FOUND, our_masks=masks, their_masks=shifted)
    assert (far.num_alone, far.mask_difference) == (2, 0.0)


def test_a_model_that_lost_its_masks_does_not_agree() -> None:
    masks = np.ones((3, 28, 28), dtype=np.float32)
    assert not compare(FOUND, FOUND, our_masks=masks).is_close
    assert not compare(FOUND, FOUND, their_masks=masks).is_close


def test_masks_of_nothing_are_equal() -> None:
    nothing = np.zeros((0, 28, 28), dtype=np.float32)
    none = compare([], [], our_masks=nothing, their_masks=nothing)
    assert (none.mask_difference, none.is_close) == (0.0, True)
