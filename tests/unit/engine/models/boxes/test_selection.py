from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes import selection
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.structures import Candidates, Detections

SELECTOR = DetectionSelector(score_threshold=0.3, nms_iou=0.5, max_detections=12)
SIZES = torch.tensor([[60, 80], [40, 50], [60, 80]])


@pytest.fixture(autouse=True, params=[False, True], ids=["on a CPU", "static shapes"])
def has_static_shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "has_static_shapes", lambda _scores: request.param)


def random_candidates() -> Candidates:
    """Boxes ``(3, 30, 4, 4)`` that reach out of the pictures, and scores, in the last picture all too low."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(3, 30, 4, 2, generator=generator) * 80 - 15
    boxes = torch.cat((corners, corners + torch.rand(3, 30, 4, 2, generator=generator) * 50), dim=-1)
    scores = torch.rand(3, 30, 4, generator=generator)
    scores[2] *= 0.3
    return Candidates(boxes, scores)


def naive_detections(boxes: Tensor, scores: Tensor, size: Tensor) -> list[tuple[float, int, list[float]]]:
    height, width = size.tolist()
    kept: list[tuple[float, int, list[float]]] = []
    candidates = sorted(
        ((scores[region, label].item(), region, label) for region in range(30) for label in range(4)),
        reverse=True,
    )
    for score, region, label in candidates:
        x1, y1, x2, y2 = boxes[region, label].tolist()
        box = [
            min(max(x1, 0), width),
            min(max(y1, 0), height),
            min(max(x2, 0), width),
            min(max(y2, 0), height),
        ]
        if score <= 0.3 or box[2] <= box[0] or box[3] <= box[1]:
            continue
        if all(other_label != label or iou(box, other) <= 0.5 for _, other_label, other in kept):
            kept.append((score, label, box))
    return kept


def iou(one: list[float], other: list[float]) -> float:
    shared = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    shared *= max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


def assert_equal(detections: Detections, picture: int, wanted: list[tuple[float, int, list[float]]]) -> None:
    found = detections.is_valid[picture].sum()
    assert detections.is_valid[picture, :found].all()
    assert found == len(wanted)
    for row, (score, label, box) in enumerate(wanted):
        assert detections.scores[picture, row].item() == score
        assert detections.labels[picture, row] == label
        torch.testing.assert_close(detections.boxes[picture, row], torch.tensor(box))


def test_detections_equal_a_naive_rewrite_best_first() -> None:
    candidates = random_candidates()
    many = DetectionSelector(score_threshold=0.3, nms_iou=0.5, max_detections=200)
    detections = many.select(candidates, SIZES)
    for picture in range(3):
        wanted = naive_detections(candidates.boxes[picture], candidates.scores[picture], SIZES[picture])
        assert_equal(detections, picture, wanted)
        assert len(wanted) > 12 or picture == 2


def test_the_best_of_all_classes_together_are_kept() -> None:
    candidates = random_candidates()
    detections = SELECTOR.select(candidates, SIZES)
    assert detections.boxes.shape == (3, 12, 4)
    for picture in range(2):
        wanted = naive_detections(candidates.boxes[picture], candidates.scores[picture], SIZES[picture])[:12]
        assert_equal(detections, picture, wanted)


def test_soft_nms_keeps_clipped_boxes_with_lower_scores_and_the_hard_ones_best() -> None:
    candidates = random_candidates()
    selector = DetectionSelector(
        score_threshold=0.3,
        nms_iou=0.5,
        max_detections=200,
        soft_nms=SoftNms(decay="linear", sigma=0.5, min_score=0.05),
    )
    soft = selector.select(candidates, SIZES)
    for picture in range(2):
        hard = naive_detections(candidates.boxes[picture], candidates.scores[picture], SIZES[picture])
        rows = soft.is_valid[picture]
        assert rows.sum() > len(hard)
        found = soft.scores[picture][rows]
        assert (found.diff() <= 0).all()
        assert ((found > 0.05) & (found < 0.3)).any()  # below the threshold, which is for scores before
        best, label, box = hard[0]
        assert soft.scores[picture, 0].item() == best
        assert soft.labels[picture, 0] == label
        torch.testing.assert_close(soft.boxes[picture, 0], torch.tensor(box))
        assert (soft.boxes[picture] >= 0).all()
    assert not soft.is_valid[2].any()


def test_of_equal_scores_the_first_place_is_the_best_and_of_a_place_the_first_class() -> None:
    candidates = random_candidates()
    equal = Candidates(candidates.boxes, candidates.scores.gt(0.3).float())
    detections = SELECTOR.select(equal, SIZES)
    assert detections.is_valid[:2].all()
    many = DetectionSelector(score_threshold=0.3, nms_iou=0.5, max_detections=200).select(equal, SIZES)
    for picture in range(2):
        place_of_box = {
            tuple(box): place for place, box in enumerate(clipped(equal, picture).flatten(0, 1).tolist())
        }
        places = [place_of_box[tuple(box)] for box in many.boxes[picture, many.is_valid[picture]].tolist()]
        assert places == sorted(places)
        assert torch.equal(detections.boxes[picture], many.boxes[picture, :12])


def clipped(candidates: Candidates, picture: int) -> Tensor:
    boxes, _ = BoxClipping().clip(candidates.boxes, SIZES)
    return boxes[picture]


def test_detections_with_a_side_below_the_minimum_are_dropped() -> None:
    candidates = random_candidates()
    picky = DetectionSelector(
        score_threshold=0.3,
        nms_iou=0.99,
        max_detections=200,
        clipping=BoxClipping(corners="inclusive", min_side_pixels=25),
    )
    detections = picky.select(candidates, SIZES)
    found = detections.boxes[detections.is_valid]
    assert len(found) > 10
    assert ((found[:, 2:] - found[:, :2]) >= 25).all()


@pytest.mark.parametrize("decay", [None, "linear", "gaussian"])
def test_what_is_no_number_is_not_found_and_takes_nothing_from_the_others(
    decay: Literal["linear", "gaussian"] | None,
) -> None:
    soft_nms = None if decay is None else SoftNms(decay=decay, sigma=0.5, min_score=0.05)
    selector = replace(SELECTOR, max_detections=200, soft_nms=soft_nms)
    candidates = random_candidates()
    boxes, scores = candidates.boxes.clone(), candidates.scores.clone()
    scores[:, ::3] = torch.nan
    boxes[:, 1::3, :, 2] = torch.nan
    boxes[:, 2::3, 0] = torch.tensor([-torch.inf, -torch.inf, torch.inf, torch.inf])
    found = selector.select(Candidates(boxes, scores), SIZES)
    edges = SIZES.flip(-1).float()
    rest = torch.cat((torch.zeros(3, 2), edges), dim=-1)[:, None]
    only = Candidates(boxes[:, 2::3].clone(), scores[:, 2::3])
    only.boxes[:, :, 0] = rest
    wanted = selector.select(only, SIZES)
    assert wanted.is_valid.any()
    for name in ("boxes", "scores", "labels", "is_valid"):
        assert torch.equal(getattr(found, name), getattr(wanted, name))


def test_a_picture_without_detections_has_zeros_in_all_rows() -> None:
    detections = SELECTOR.select(random_candidates(), SIZES)
    assert not detections.is_valid[2].any()
    assert (detections.boxes[2] == 0).all()
    assert (detections.scores[2] == 0).all()
    assert (detections.labels[2] == 0).all()


def test_a_picture_gets_the_same_detections_alone_and_in_a_batch() -> None:
    candidates = random_candidates()
    together = SELECTOR.select(candidates, SIZES)
    for picture in range(3):
        only = slice(picture, picture + 1)
        alone = SELECTOR.select(Candidates(candidates.boxes[only], candidates.scores[only]), SIZES[only])
        assert torch.equal(alone.boxes, together.boxes[only])
        assert torch.equal(alone.scores, together.scores[only])
        assert torch.equal(alone.labels, together.labels[only])


def test_a_box_for_all_classes_is_selected_as_if_each_class_had_it() -> None:
    candidates = random_candidates()
    shared = Candidates(candidates.boxes[:, :, :1], candidates.scores)
    copied = Candidates(shared.boxes.repeat(1, 1, 4, 1), candidates.scores)
    found, wanted = SELECTOR.select(shared, SIZES), SELECTOR.select(copied, SIZES)
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.scores, wanted.scores)
    assert torch.equal(found.labels, wanted.labels)
    assert set(wanted.labels[0].tolist()) == {0, 1, 2, 3}
