import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher as TorchvisionMatcher
from torchvision.ops import box_iou

from hrdet_cli.engine.models.boxes.matching import Matcher, Matches
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.structures import Size, Targets

RPN = Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3)
ROI = Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None)


def targets_of(*pictures: list[list[float]], num_rows: int) -> Targets:
    boxes = torch.zeros(len(pictures), num_rows, 4)
    is_valid = torch.zeros(len(pictures), num_rows, dtype=torch.bool)
    for index, picture in enumerate(pictures):
        if picture:
            boxes[index, : len(picture)] = torch.tensor(picture)
        is_valid[index, : len(picture)] = True
    return Targets(boxes=boxes, labels=torch.zeros(is_valid.shape, dtype=torch.int64), is_valid=is_valid)


def match_one(matcher: Matcher, candidates: list[list[float]], boxes: list[list[float]]) -> Matches:
    all_candidates = torch.tensor([candidates])
    everyone = torch.ones(all_candidates.shape[:2], dtype=torch.bool)
    return matcher.match(all_candidates, everyone, targets_of(boxes, num_rows=8))


def naive_match(
    matcher: Matcher, candidates: Tensor, is_candidate: Tensor, boxes: Tensor
) -> list[tuple[str, int]]:
    """mmdetection's rules for one picture, one pair at a time in float64."""

    def iou(a: list[float], b: list[float]) -> float:
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0.0) * max(height, 0.0)
        areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        return shared / max(areas - shared, 1e-6)

    table = [
        [
            iou(box, candidate) if takes_part else -1.0
            for candidate, takes_part in zip(rows, mask, strict=True)
        ]
        for rows, mask in [(candidates.tolist(), is_candidate.tolist())]
        for box in boxes.tolist()
    ]
    outcome: list[tuple[str, int]] = []
    for column, takes_part in enumerate(is_candidate.tolist()):
        overlaps = [row[column] for row in table]
        best = max(overlaps, default=0.0)
        if not takes_part:
            outcome.append(("neither", -1))
        elif best >= matcher.positive_iou:
            outcome.append(("positive", overlaps.index(best)))
        else:
            outcome.append(("negative" if best < matcher.negative_iou else "neither", -1))
    if matcher.min_positive_iou is not None:
        for index, row in enumerate(table):
            if max(row) >= matcher.min_positive_iou and max(row) > 0:
                for column, overlap in enumerate(row):
                    if abs(overlap - max(row)) < 1e-9:
                        outcome[column] = ("positive", index)
    return outcome


def crowded_anchors() -> tuple[Tensor, Targets]:
    """``(A, 4)`` anchors, and 40 boxes, which are several chunks, and 3."""
    anchors = AnchorGenerator(strides=(8, 16), scale=2, aspect_ratios=(1.0, 4.0))([Size(10, 12), Size(5, 6)])
    generator = torch.Generator().manual_seed(1)
    corners = torch.randint(0, 70, (2, 40, 2), generator=generator)
    boxes = torch.cat((corners, corners + torch.randint(4, 40, (2, 40, 2), generator=generator)), dim=-1)
    is_valid = torch.arange(40) < torch.tensor([[40], [3]])
    labels = torch.zeros(2, 40, dtype=torch.int64)
    return anchors.boxes, Targets(boxes.float() * is_valid[..., None], labels, is_valid)


def outcome_of(matches: Matches, picture: int) -> list[tuple[str, int]]:
    rows = zip(
        matches.target_index[picture].tolist(),
        matches.is_positive[picture].tolist(),
        matches.is_negative[picture].tolist(),
        strict=True,
    )
    return [
        ("positive", index) if positive else ("negative" if negative else "neither", -1)
        for index, positive, negative in rows
    ]


@pytest.mark.parametrize(
    "matcher", [RPN, ROI, Matcher(positive_iou=0.6, negative_iou=0.2, min_positive_iou=0.0)]
)
def test_matches_equal_a_naive_float64_rewrite(matcher: Matcher) -> None:
    # Whole-pixel boxes and anchors: every overlap is exact enough to be equal in float32 and float64,
    # and the anchors' regular grid makes many ties.
    anchors, targets = crowded_anchors()
    is_candidate = torch.rand(2, len(anchors), generator=torch.Generator().manual_seed(2)) < 0.9

    matches = matcher.match(anchors.expand(2, -1, 4), is_candidate, targets)

    shared = matcher.match(anchors[None], is_candidate, targets)
    for name in ("target_index", "is_positive", "is_negative"):
        assert torch.equal(getattr(shared, name), getattr(matches, name))
    for picture, num_boxes in enumerate((40, 3)):
        wanted = naive_match(matcher, anchors, is_candidate[picture], targets.boxes[picture, :num_boxes])
        assert outcome_of(matches, picture) == wanted
    assert matches.is_positive[0].any()


def test_anchors_that_learn_their_best_box_are_matched_as_torchvision_does() -> None:
    theirs = TorchvisionMatcher(0.7, 0.3, allow_low_quality_matches=True)
    ours = Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0, low_quality_target="best")
    claiming = Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0)
    anchors, targets = crowded_anchors()
    everyone = torch.ones(2, len(anchors), dtype=torch.bool)
    matches = ours.match(anchors.expand(2, -1, 4), everyone, targets)
    for picture, num_boxes in enumerate((40, 3)):
        wanted = theirs(box_iou(targets.boxes[picture, :num_boxes], anchors))
        assert outcome_of(matches, picture) == [
            ("positive", index) if index >= 0 else ("negative" if index == -1 else "neither", -1)
            for index in wanted.tolist()
        ]
    others = claiming.match(anchors.expand(2, -1, 4), everyone, targets)
    assert torch.equal(matches.is_positive, others.is_positive)
    assert outcome_of(matches, 0) != outcome_of(others, 0)


def test_the_thresholds_are_inclusive_for_positives_and_exclusive_for_negatives() -> None:
    half, less = [0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 4.9]
    matches = match_one(ROI, [half, less], [[0.0, 0.0, 10.0, 10.0]])
    assert outcome_of(matches, 0) == [("positive", 0), ("negative", -1)]


def test_all_candidates_that_tie_for_a_low_best_overlap_are_positive() -> None:
    # The box is 10 x 10; both candidates cover 4 of its 10 columns: IoU 40 / 100.
    left, right = [0.0, 0.0, 4.0, 10.0], [6.0, 0.0, 10.0, 10.0]
    narrow = [5.0, 0.0, 8.0, 10.0]
    matches = match_one(RPN, [left, right, narrow], [[0.0, 0.0, 10.0, 10.0]])
    assert outcome_of(matches, 0) == [("positive", 0), ("positive", 0), ("neither", -1)]


def test_a_best_overlap_below_the_minimum_claims_nothing() -> None:
    matches = match_one(RPN, [[0.0, 0.0, 2.9, 10.0]], [[0.0, 0.0, 10.0, 10.0]])
    assert outcome_of(matches, 0) == [("negative", -1)]


def test_the_later_of_two_boxes_wins_a_candidate_both_claim_even_from_a_better_overlap() -> None:
    candidate, equal, half = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]
    assert outcome_of(match_one(RPN, [candidate], [equal, half]), 0) == [("positive", 1)]
    assert outcome_of(match_one(RPN, [candidate], [half, equal]), 0) == [("positive", 1)]
    assert outcome_of(match_one(ROI, [candidate], [half, equal]), 0) == [("positive", 1)]
    assert outcome_of(match_one(ROI, [candidate], [equal, half]), 0) == [("positive", 0)]


def test_a_box_that_only_a_candidate_out_of_play_overlaps_claims_nobody() -> None:
    candidates = torch.tensor([[[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]]])
    is_candidate = torch.tensor([[False, True]])
    lenient = Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.0)
    matches = lenient.match(candidates, is_candidate, targets_of([[0.0, 0.0, 10.0, 10.0]], num_rows=8))
    assert outcome_of(matches, 0) == [("neither", -1), ("negative", -1)]


def test_more_padding_rows_change_no_match() -> None:
    anchors = AnchorGenerator(strides=(8,))([Size(12, 12)]).boxes.expand(2, -1, 4)
    everyone = torch.ones(anchors.shape[:2], dtype=torch.bool)
    boxes = [[5.0, 5.0, 60.0, 70.0], [40.0, 20.0, 90.0, 90.0]]
    few = RPN.match(anchors, everyone, targets_of(boxes, [], num_rows=2))
    many = RPN.match(anchors, everyone, targets_of(boxes, [], num_rows=64))
    for picture in range(2):
        assert outcome_of(few, picture) == outcome_of(many, picture)
    assert few.is_positive[0].any()
    assert few.is_negative[1].all()
