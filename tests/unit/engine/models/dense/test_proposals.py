from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, CellArea
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator, Anchors
from hrdet_cli.engine.models.dense.proposals import AnchorPredictions, Proposals, ProposalSelector
from hrdet_cli.engine.structures import Size

CODER = BoxCoder(stds=(1, 1, 1, 1))
SELECTOR = ProposalSelector(num_candidates_per_level=60, nms_iou=0.5, max_proposals=50)
SIZES = torch.tensor([[64, 96], [50, 33]])
PLAIN = AnchorLayout()


def anchors_on(canvas: Size, layout: AnchorLayout = PLAIN) -> Anchors:
    generator = AnchorGenerator(strides=(8, 16), scale=4, layout=layout)
    grids = [Size(canvas.height // stride, canvas.width // stride) for stride in (8, 16)]
    anchors: Anchors = generator(grids)
    return anchors


def random_predictions(*, num_pictures: int = 2) -> AnchorPredictions:
    anchors = anchors_on(Size(64, 96))
    generator = torch.Generator().manual_seed(0)
    shape = num_pictures, len(anchors.boxes)
    logits = torch.rand(shape, generator=generator).argsort(dim=1) / 100.0  # all different
    return AnchorPredictions(anchors, logits, torch.randn(*shape, 4, generator=generator) * 0.3)


def naive_proposals(predictions: AnchorPredictions, picture: int) -> list[list[float]]:
    height, width = SIZES[picture].tolist()
    boxes = CODER.decode(predictions.deltas[picture], predictions.anchors.boxes)
    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
    logits = predictions.logits[picture].tolist()
    corners = predictions.anchors.cell_corners.tolist()
    chosen: list[tuple[float, list[float]]] = []
    start = 0
    for length in predictions.anchors.level_lengths:
        rows = [
            row
            for row in range(start, start + length)
            if corners[row][0] < width and corners[row][1] < height
        ]
        start += length
        kept: list[tuple[float, list[float]]] = []
        for row in sorted(rows, key=lambda row: -logits[row])[: SELECTOR.num_candidates_per_level]:
            box = boxes[row].tolist()
            if box[2] > box[0] and box[3] > box[1] and all(iou(box, other) <= 0.5 for _, other in kept):
                kept.append((logits[row], box))
        chosen += kept
    return [box for _, box in sorted(chosen, reverse=True)][: SELECTOR.max_proposals]


def iou(one: list[float], other: list[float]) -> float:
    shared = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    shared *= max(0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


def valid_boxes(proposals: Proposals, picture: int) -> Tensor:
    return proposals.boxes[picture][proposals.is_valid[picture]]


def test_logits_and_deltas_that_are_no_numbers_propose_nothing_and_take_nothing_from_the_others() -> None:
    predictions = random_predictions()
    logits, deltas = predictions.logits.clone(), predictions.deltas.clone()
    logits[:, ::7] = torch.nan
    deltas[:, 3::7, 1] = torch.nan
    few = replace(SELECTOR, num_candidates_per_level=len(predictions.anchors.boxes))
    found, scores = few.select_scored(AnchorPredictions(predictions.anchors, logits, deltas), SIZES, CODER)
    logits[:, ::7] = logits[:, 3::7] = -torch.inf
    wanted, wanted_scores = few.select_scored(
        AnchorPredictions(predictions.anchors, logits, deltas.nan_to_num()), SIZES, CODER
    )
    assert found.is_valid.any()
    assert torch.equal(found.boxes, wanted.boxes)
    assert torch.equal(found.is_valid, wanted.is_valid)
    assert torch.equal(scores, wanted_scores)


def test_proposals_equal_a_naive_rewrite_best_first() -> None:
    predictions = random_predictions()
    proposals = SELECTOR.select(predictions, SIZES, CODER)
    for picture in range(2):
        wanted = torch.tensor(naive_proposals(predictions, picture))
        torch.testing.assert_close(valid_boxes(proposals, picture), wanted)
    assert proposals.boxes.shape == (2, 50, 4)
    assert proposals.is_valid.sum(dim=1)[0] > proposals.is_valid.sum(dim=1)[1]


def test_proposals_stay_inside_their_picture_and_padding_rows_are_zero() -> None:
    proposals = SELECTOR.select(random_predictions(), SIZES, CODER)
    for picture, (height, width) in enumerate(SIZES.tolist()):
        boxes = valid_boxes(proposals, picture)
        assert (boxes >= 0).all()
        assert (boxes[:, 2] <= width).all()
        assert (boxes[:, 3] <= height).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (proposals.boxes[~proposals.is_valid] == 0).all()
    assert not proposals.is_valid.all()


@pytest.mark.parametrize(("area", "may_propose"), [("picture", False), ("padded", True), ("canvas", True)])
def test_anchors_of_the_padding_propose_unless_the_area_is_the_picture(
    area: CellArea, may_propose: bool
) -> None:
    random = random_predictions()
    anchors = anchors_on(Size(64, 96), AnchorLayout(area=area))
    # The picture is 33 pixels wide, padded 64.
    far_right = (anchors.cell_corners == torch.tensor([64, 16])).all(dim=1)
    logits, nothing = torch.where(far_right, 50.0, random.logits), torch.zeros_like(random.deltas)
    proposals = SELECTOR.select(AnchorPredictions(anchors, logits, nothing), SIZES, CODER)
    # Of the square anchor at stride 16, 64 x 64 around (64, 16), the picture leaves the last column.
    wanted = torch.tensor([32.0, 0.0, 33.0, 48.0])
    assert (valid_boxes(proposals, 1) == wanted).all(dim=1).any() == may_propose


def test_with_inclusive_corners_a_pixel_is_proposed_of_what_lies_outside() -> None:
    anchors = anchors_on(Size(64, 96))
    far_right = torch.tensor([50.0, 0.0, 0.0, 0.0]).expand(2, len(anchors.boxes), 4)
    predictions = AnchorPredictions(anchors, random_predictions().logits, far_right)
    inclusive = ProposalSelector(
        num_candidates_per_level=60,
        nms_iou=0.5,
        max_proposals=50,
        clipping=BoxClipping(corners="inclusive"),
    )
    assert not SELECTOR.select(predictions, SIZES, CODER).is_valid.any()
    proposals = inclusive.select(predictions, SIZES, CODER)
    for picture, width in enumerate(SIZES[:, 1].tolist()):
        boxes = valid_boxes(proposals, picture)
        assert len(boxes) > 0
        assert (boxes[:, 0::2] == torch.tensor([width - 1, width])).all()


def test_proposals_with_a_side_below_the_minimum_are_dropped_before_they_suppress_others() -> None:
    predictions = random_predictions()
    picky = ProposalSelector(
        num_candidates_per_level=60,
        nms_iou=0.5,
        max_proposals=50,
        clipping=BoxClipping(min_side_pixels=20),
    )
    everyone, few = (selector.select(predictions, SIZES, CODER) for selector in (SELECTOR, picky))
    for picture in range(2):
        boxes = valid_boxes(few, picture)
        assert ((boxes[:, 2:] - boxes[:, :2]) >= 20).all()
        plain = valid_boxes(everyone, picture)
        large = plain[((plain[:, 2:] - plain[:, :2]) >= 20).all(dim=1)]
        assert len(boxes) > len(large) > 0  # some that a dropped one had suppressed


def test_a_picture_gets_the_same_proposals_alone_and_in_a_batch() -> None:
    predictions = random_predictions()
    together = SELECTOR.select(predictions, SIZES, CODER)
    for picture in range(2):
        only = slice(picture, picture + 1)
        alone = AnchorPredictions(predictions.anchors, predictions.logits[only], predictions.deltas[only])
        assert torch.equal(SELECTOR.select(alone, SIZES[only], CODER).boxes, together.boxes[only])


def test_more_padding_changes_no_proposal_whatever_is_predicted_there() -> None:
    small, large = anchors_on(Size(64, 96)), anchors_on(Size(96, 128))
    predictions = random_predictions()
    # Rows of the large canvas's anchors that are the small one's, in the small one's order.
    shared = [(large.boxes == box).all(dim=1).nonzero().item() for box in small.boxes]
    logits, deltas = torch.full((2, len(large.boxes)), 50.0), torch.zeros(2, len(large.boxes), 4)
    logits[:, shared], deltas[:, shared] = predictions.logits, predictions.deltas
    on_small = SELECTOR.select(predictions, SIZES, CODER)
    on_large = SELECTOR.select(AnchorPredictions(large, logits, deltas), SIZES, CODER)
    assert torch.equal(on_small.boxes, on_large.boxes)


def test_proposals_carry_no_gradient() -> None:
    predictions = random_predictions()
    predictions.deltas.requires_grad_()
    assert not SELECTOR.select(predictions, SIZES, CODER).boxes.requires_grad


def test_fewer_anchors_than_wanted_give_fewer_rows() -> None:
    generous = ProposalSelector(num_candidates_per_level=10_000, nms_iou=0.5, max_proposals=10_000)
    proposals = generous.select(random_predictions(), SIZES, CODER)
    assert proposals.boxes.shape == (2, sum(anchors_on(Size(64, 96)).level_lengths), 4)


def test_of_equal_scores_the_first_anchors_are_taken_on_every_canvas() -> None:
    """As on a picture of one colour, where anchors of the same shape score the same."""

    def selected(canvas: Size) -> Proposals:
        anchors = anchors_on(canvas)
        logits = (torch.arange(len(anchors.boxes)) % 3).expand(2, -1).float()
        deltas = torch.zeros(2, len(anchors.boxes), 4)
        return SELECTOR.select(AnchorPredictions(anchors, logits, deltas), SIZES, CODER)

    small, large = selected(Size(64, 96)), selected(Size(192, 320))
    for picture in range(2):
        assert torch.equal(valid_boxes(small, picture), valid_boxes(large, picture))
