import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.soft_nms import SoftNms


def naive_soft_nms(
    boxes: Tensor, scores: Tensor, *, decay: str, sigma: float, min_score: float, max_iou: float
) -> list[tuple[int, float]]:
    """Rows of one class in the order they are taken, and their scores then; in float64."""
    rest = dict(enumerate(scores.double().tolist()))
    taken = []
    while rest:
        best = max(rest, key=lambda row: rest[row])
        taken.append((best, rest.pop(best)))
        for row in list(rest):
            overlap = iou(boxes[best].tolist(), boxes[row].tolist())
            if decay == "gaussian":
                rest[row] *= math.exp(-(overlap**2) / sigma)
            elif overlap >= max_iou:
                rest[row] *= 1 - overlap
            if rest[row] < min_score:
                del rest[row]
    return taken


def iou(one: list[float], other: list[float]) -> float:
    shared = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    shared *= max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


def random_candidates() -> tuple[Tensor, Tensor, Tensor]:
    """200 boxes of five classes; all scores are above 0.05, as a threshold before leaves them."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(200, 2, generator=generator) * 60
    boxes = torch.cat((corners, corners + 5 + torch.rand(200, 2, generator=generator) * 35), dim=-1)
    scores = 0.06 + 0.9 * torch.rand(200, generator=generator)
    return boxes, scores, torch.randint(0, 5, (200,), generator=generator)


@pytest.mark.parametrize("decay", ["linear", "gaussian"])
@pytest.mark.parametrize("min_score", [0.05, 0.0])
def test_boxes_and_scores_equal_a_naive_rewrite_class_by_class(
    decay: Literal["linear", "gaussian"], min_score: float
) -> None:
    boxes, scores, labels = random_candidates()
    soft_nms = SoftNms(decay=decay, sigma=0.5, min_score=min_score)
    found, found_scores = soft_nms.select(boxes, scores, labels, max_iou=0.3, max_boxes=1000)
    wanted: list[tuple[int, float]] = []
    for label in range(5):
        rows = (labels == label).nonzero().flatten()
        for row, score in naive_soft_nms(
            boxes[rows], scores[rows], decay=decay, sigma=0.5, min_score=min_score, max_iou=0.3
        ):
            wanted.append((int(rows[row]), score))
    wanted.sort(key=lambda pair: -pair[1])
    assert found.tolist() == [row for row, _ in wanted]
    torch.testing.assert_close(found_scores, torch.tensor([score for _, score in wanted]))
    assert (found_scores < scores[found]).any()
    assert len(found) < 200 or min_score == 0

    few, few_scores = soft_nms.select(boxes, scores, labels, max_iou=0.3, max_boxes=30)
    assert torch.equal(few, found[:30])
    assert torch.equal(few_scores, found_scores[:30])


# 10 x 10 boxes. Of the first one's columns the second shares 5 (IoU 50 / 150 = 1/3), the third 2 (20 / 180 =
# 1/9), and they none with one another.
ROW = torch.tensor([[10.0, 0.0, 20.0, 10.0], [15.0, 0.0, 25.0, 10.0], [2.0, 0.0, 12.0, 10.0]])


@pytest.mark.parametrize(
    ("soft_nms", "max_iou", "wanted"),
    [
        # 0.8 * 2/3 sinks below 0.6, which the third keeps: 1/9 is below the IoU.
        (SoftNms(decay="linear", sigma=0.5, min_score=0.05), 0.3, [(0, 0.9), (2, 0.6), (1, 0.8 * 2 / 3)]),
        (SoftNms(decay="linear", sigma=0.5, min_score=0.55), 0.3, [(0, 0.9), (2, 0.6)]),
        (SoftNms(decay="linear", sigma=0.5, min_score=0.05), 0.34, [(0, 0.9), (1, 0.8), (2, 0.6)]),
        (
            SoftNms(decay="gaussian", sigma=0.5, min_score=0.05),
            0.34,
            [(0, 0.9), (1, 0.8 * math.exp(-2 / 9)), (2, 0.6 * math.exp(-2 / 81))],
        ),
    ],
)
def test_scores_are_those_worked_out_by_hand(
    soft_nms: SoftNms, max_iou: float, wanted: list[tuple[int, float]]
) -> None:
    scores, labels = torch.tensor([0.9, 0.8, 0.6]), torch.zeros(3, dtype=torch.int64)
    found, found_scores = soft_nms.select(ROW, scores, labels, max_iou=max_iou, max_boxes=10)
    assert found.tolist() == [row for row, _ in wanted]
    torch.testing.assert_close(found_scores, torch.tensor([score for _, score in wanted]))


def test_the_same_box_twice_is_taken_once_and_the_other_has_no_score_left() -> None:
    soft_nms = SoftNms(decay="linear", sigma=0.5, min_score=0.0)
    twice, scores = ROW[:1].expand(2, 4), torch.tensor([0.7, 0.9])
    same = torch.zeros(2, dtype=torch.int64)
    found, found_scores = soft_nms.select(twice, scores, same, max_iou=0.3, max_boxes=10)
    assert found.tolist() == [1, 0]
    assert found_scores.tolist() == [scores[1], 0.0]
    other_classes = torch.tensor([4, 2])
    found, found_scores = soft_nms.select(twice, scores, other_classes, max_iou=0.3, max_boxes=10)
    assert found.tolist() == [1, 0]
    assert torch.equal(found_scores, scores[found])


def test_the_scores_given_stay_as_they_are() -> None:
    boxes, scores, labels = random_candidates()
    given = scores.clone()
    SoftNms(decay="linear", sigma=0.5, min_score=0.05).select(boxes, scores, labels, max_iou=0.3, max_boxes=9)
    assert torch.equal(scores, given)


def test_nothing_in_gives_nothing_out() -> None:
    soft_nms = SoftNms(decay="linear", sigma=0.5, min_score=0.05)
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    found, scores = soft_nms.select(*none, max_iou=0.3, max_boxes=10)
    assert found.tolist() == scores.tolist() == []
    assert found.dtype == torch.int64
