from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import box_iou

from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sampler
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.regions.region_draw import ClassLosses, DrawnRegions, RegionDraw
from hrdet_cli.engine.structures import ImageBatch, Targets

NUM_CLASSES = 3
DRAW = RegionDraw(
    num_classes=NUM_CLASSES,
    matcher=Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None),
    sampler=Sampler(num_samples=16, positive_fraction=0.5, stream=1),
)
IMAGES = ImageBatch(
    pixels=torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
    sizes=torch.tensor([[64, 64], [60, 50]]),
    keys=torch.tensor([7, 8]),
)
TARGETS = Targets(
    boxes=torch.tensor([[[4.0, 4, 20, 24], [30, 30, 50, 60]], [[10, 5, 40, 45], [0, 0, 0, 0]]]),
    labels=torch.tensor([[2, 0], [1, 0]]),
    is_valid=torch.tensor([[True, True], [True, False]]),
)


def regions_near_targets(*, num_each: int) -> Proposals:
    """Some around each box of the ground truth, some anywhere; a few of the second picture's are padding."""
    generator = torch.Generator().manual_seed(3)
    near = TARGETS.boxes.repeat(1, num_each, 1)
    near = near + torch.rand(near.shape, generator=generator) * 4
    corners = torch.rand(2, 12, 2, generator=generator) * 40
    anywhere = torch.cat((corners, corners + 2 + torch.rand(2, 12, 2, generator=generator) * 15), dim=-1)
    boxes = torch.cat((near, anywhere), dim=1)
    is_valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
    is_valid[1, -9:] = False
    is_valid[1, 1 : 2 * num_each : 2] = False  # those around the row that is no box
    return Proposals(boxes=boxes.where(is_valid[..., None], 0.0), is_valid=is_valid)


def no_losses(regions: Proposals, labels: Tensor) -> Tensor:
    raise AssertionError("a random draw looks at no losses")


def draw(
    region_draw: RegionDraw,
    regions: Proposals,
    targets: Targets = TARGETS,
    class_losses: ClassLosses = no_losses,
) -> DrawnRegions:
    return region_draw.draw(regions, IMAGES, targets, class_losses=class_losses)


def padded(targets: Targets, *, num_rows: int) -> Targets:
    def longer(values: Tensor) -> Tensor:
        return torch.cat((values, values.new_zeros(2, num_rows, *values.shape[2:])), dim=1)

    return Targets(longer(targets.boxes), longer(targets.labels), longer(targets.is_valid))


def valid_rows(drawn: DrawnRegions, picture: int) -> list[list[float]]:
    rows = torch.cat(
        (drawn.boxes, drawn.labels[..., None], drawn.is_positive[..., None], drawn.is_target[..., None]), -1
    )
    found: list[list[float]] = rows[picture, drawn.is_valid[picture]].tolist()
    return found


def test_drawn_regions_have_the_label_of_the_box_they_overlap_most_and_positives_are_first() -> None:
    regions = regions_near_targets(num_each=3)
    drawn = draw(DRAW, regions)
    for picture in range(2):
        targets = TARGETS.boxes[picture, TARGETS.is_valid[picture]]
        is_valid = drawn.is_valid[picture]
        boxes = drawn.boxes[picture, is_valid]
        iou, best = box_iou(boxes, targets).max(dim=1)
        is_positive = iou >= 0.5
        assert torch.equal(drawn.is_positive[picture, is_valid], is_positive)
        assert is_positive.sum() >= 3
        assert (~is_positive).sum() >= 3
        assert is_positive.long().diff().max() <= 0
        wanted = TARGETS.labels[picture][best].where(is_positive, NUM_CLASSES)
        assert torch.equal(drawn.labels[picture, is_valid], wanted)
        assert torch.equal(drawn.target_index[picture, is_valid][is_positive], best[is_positive])
    assert drawn.is_valid.sum(dim=1).tolist() == [16, 7]  # the second has 1 box and 3 + 3 regions


def test_what_is_a_box_of_the_ground_truth_is_said_of_all_that_are_and_of_no_other() -> None:
    drawn = draw(DRAW, regions_near_targets(num_each=2))
    for picture in range(2):
        targets = TARGETS.boxes[picture, TARGETS.is_valid[picture]]
        same = (drawn.boxes[picture][:, None] == targets).all(dim=-1).any(dim=1)
        assert torch.equal(drawn.is_target[picture], same & drawn.is_valid[picture])
        assert same.sum() == len(targets)


def test_more_padding_rows_of_the_ground_truth_draw_the_same_regions() -> None:
    regions = regions_near_targets(num_each=6)
    drawn, padded_drawn = (draw(DRAW, regions, targets) for targets in (TARGETS, padded(TARGETS, num_rows=5)))
    for picture in range(2):
        assert valid_rows(drawn, picture) == valid_rows(padded_drawn, picture)


def test_the_first_slots_hold_all_positives() -> None:
    drawn = draw(DRAW, regions_near_targets(num_each=9))
    first = drawn.first(DRAW.sampler.max_positive)
    assert first.boxes.shape == (2, 8, 4)
    assert drawn.is_positive.sum(dim=1).max() == 8
    assert first.is_positive.sum() == drawn.is_positive.sum()
    assert torch.equal(first.boxes[first.is_positive], drawn.boxes[drawn.is_positive])
    assert torch.equal(first.labels[first.is_positive], drawn.labels[drawn.is_positive])
    assert torch.equal(first.target_index[first.is_positive], drawn.target_index[drawn.is_positive])
    assert torch.equal(first.is_target[first.is_positive], drawn.is_target[drawn.is_positive])
    assert first.is_valid.all()


def test_boxes_of_the_ground_truth_are_matched_with_themselves_even_where_two_are_the_same() -> None:
    twins = Targets(
        boxes=torch.tensor([[[4.0, 4, 20, 24], [4, 4, 20, 24]], [[10, 5, 40, 45], [10, 5, 40, 45]]]),
        labels=torch.tensor([[2, 0], [1, 2]]),
        is_valid=torch.ones(2, 2, dtype=torch.bool),
    )
    drawn = draw(DRAW, regions_near_targets(num_each=1), twins)
    for picture in range(2):
        is_target = drawn.is_target[picture]
        found = sorted(
            zip(*(x[picture, is_target].tolist() for x in (drawn.target_index, drawn.labels)), strict=True)
        )
        assert found == [*enumerate(twins.labels[picture].tolist())]


def test_a_box_claims_its_best_region_although_it_overlaps_itself_more() -> None:
    # The first region overlaps each box by 60 / 140: too little to be positive, but the first has no better.
    targets = Targets(
        boxes=torch.tensor([[[0.0, 0, 10, 10], [8, 0, 18, 10]]]).repeat(2, 1, 1),
        labels=torch.tensor([[0, 1], [0, 1]]),
        is_valid=torch.ones(2, 2, dtype=torch.bool),
    )
    regions = Proposals(
        boxes=torch.tensor([[[4.0, 0, 14, 10], [9, 0, 19, 10]]]).repeat(2, 1, 1),
        is_valid=torch.ones(2, 2, dtype=torch.bool),
    )
    claiming = replace(DRAW, matcher=replace(DRAW.matcher, min_positive_iou=0.4))
    for region_draw, wanted in ((DRAW, NUM_CLASSES), (claiming, 0)):
        drawn = draw(region_draw, regions, targets)
        row = (drawn.boxes[0] == regions.boxes[0, 0]).all(dim=-1).nonzero().item()
        assert drawn.labels[0, int(row)] == wanted


def test_the_hardest_regions_are_those_that_the_classifier_is_most_wrong_about() -> None:
    regions = regions_near_targets(num_each=20)
    asked: list[tuple[Tensor, Tensor, Tensor]] = []

    def losses_of(looked_at: Proposals | DrawnRegions, labels: Tensor) -> Tensor:
        asked.append((looked_at.boxes, looked_at.is_valid, labels))
        return (looked_at.boxes.sum(dim=-1) * 37) % 11

    hardest = replace(DRAW, sampler=HardSampler(num_samples=16, positive_fraction=0.25))
    drawn = draw(hardest, regions, class_losses=losses_of)
    ((boxes, is_valid_row, labels),) = asked
    assert torch.equal(boxes, torch.cat((TARGETS.boxes, regions.boxes), dim=1))
    assert torch.equal(is_valid_row, torch.cat((TARGETS.is_valid, regions.is_valid), dim=1))
    losses = losses_of(Proposals(boxes, is_valid_row), labels)
    for picture, (num_positive, num_negative) in enumerate([(4, 12), (4, 3)]):
        is_valid = is_valid_row[picture]
        is_positive = is_valid & (labels[picture] < NUM_CLASSES)
        wanted = [
            losses[picture, which].sort(descending=True).values[:count]
            for which, count in ((is_positive, num_positive), (is_valid & ~is_positive, num_negative))
        ]
        taken = losses_of(drawn, drawn.labels)[picture, drawn.is_valid[picture]]
        assert torch.equal(taken, torch.cat(wanted))
        assert drawn.is_positive[picture].sum() == num_positive
