import math

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.point_matching import PointMatcher, boxes_around, distances_to_sides
from hrdet_cli.engine.models.dense.points import Points, lay_points
from hrdet_cli.engine.structures import Size, Targets

STRIDES = (8, 16, 32)
RANGE_ENDS = (16.0, 40.0)


def points_of(height: int, width: int) -> Points:
    grids = [Size(height // stride, width // stride) for stride in STRIDES]
    return lay_points(grids, STRIDES, layout=PointLayout(area="canvas"), device=torch.device("cpu"))


def targets_of(boxes: list[list[float]]) -> Targets:
    """Of one picture, with a row of padding."""
    rows = torch.tensor([*boxes, [0, 0, 0, 0]], dtype=torch.float32)[None]
    is_valid = torch.arange(rows.shape[1]) < len(boxes)
    return Targets(boxes=rows, labels=torch.zeros(rows.shape[:2]).long(), is_valid=is_valid[None])


def match(boxes: list[list[float]], points: Points, *, centre_radius: float | None = None) -> Matches:
    matcher = PointMatcher(range_ends=RANGE_ENDS, centre_radius=centre_radius)
    everyone = torch.ones(1, len(points.places), dtype=torch.bool)
    return matcher.match(points, everyone, targets_of(boxes))


def naive_index(
    points: Points, boxes: list[list[float]], *, centre_radius: float | None = None
) -> list[int | None]:
    """Row of the box that each point learns."""
    ends = [-math.inf, *RANGE_ENDS, math.inf]
    found: list[int | None] = []
    for (x, y), stride in zip(points.places.tolist(), points.strides.tolist(), strict=True):
        level = STRIDES.index(int(stride))
        best: tuple[float, int] | None = None
        for row, (x1, y1, x2, y2) in enumerate(boxes):
            sides = (x - x1, y - y1, x2 - x, y2 - y)
            if min(sides) <= 0 or not ends[level] <= max(sides) <= ends[level + 1]:
                continue
            if centre_radius is not None:
                off_centre = max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2))
                if off_centre >= centre_radius * stride:
                    continue
            area = (x2 - x1) * (y2 - y1)
            if best is None or area < best[0]:
                best = area, row
        found.append(None if best is None else best[1])
    return found


def found_index(matches: Matches) -> list[int | None]:
    return [
        index if is_positive else None
        for index, is_positive in zip(
            matches.target_index[0].tolist(), matches.is_positive[0].tolist(), strict=True
        )
    ]


def random_boxes(count: int) -> list[list[float]]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(count, 2, generator=generator) * 90
    sides = torch.rand(count, 2, generator=generator) ** 2 * 80 + 3
    return torch.cat((corners, corners + sides), dim=1).tolist()


@pytest.mark.parametrize("centre_radius", [None, 1.5])
def test_each_point_learns_what_a_loop_over_all_boxes_finds(centre_radius: float | None) -> None:
    points, boxes = points_of(128, 160), random_boxes(20)  # more than are looked at at a time
    wanted = naive_index(points, boxes, centre_radius=centre_radius)
    assert found_index(match(boxes, points, centre_radius=centre_radius)) == wanted
    assert len({*wanted}) > 10
    levels = [wanted[start:end] for start, end in ((0, 320), (320, 400), (400, 420))]
    assert all(any(index is not None for index in level) for level in levels)


def test_both_ends_of_a_range_belong_to_it() -> None:
    # The first points of strides 8 and 16 are at (4, 4) and (8, 8): 16 to the right side of each box.
    points = points_of(32, 32)
    for box, row in (([0.0, 0.0, 20.0, 20.0], 0), ([0.0, 0.0, 24.0, 24.0], 16)):
        [is_positive] = match([box], points).is_positive
        assert is_positive[row], row
    [is_positive] = match([[0.0, 0.0, 20.1, 20.0]], points).is_positive
    assert not is_positive[0]


def test_a_point_on_the_edge_of_a_box_is_not_inside() -> None:
    [is_positive] = match([[4.0, 0.0, 12.5, 12.0]], points_of(32, 32)).is_positive
    assert is_positive.nonzero().flatten().tolist() == [1]  # (12, 4), but neither (4, 4) nor (12, 12)


def test_of_boxes_around_a_point_the_smallest_is_learned_and_of_equal_ones_the_first() -> None:
    large, small = [0.0, 0.0, 16.0, 16.0], [1.0, 0.0, 16.0, 16.0]
    points = points_of(32, 32)
    assert found_index(match([large, small, small], points))[0] == 1


def test_points_that_are_no_candidates_are_neither_positive_nor_negative_and_all_others_are_one() -> None:
    points, boxes = points_of(128, 160), random_boxes(20)
    is_candidate = torch.arange(len(points.places))[None] % 3 > 0
    matcher = PointMatcher(range_ends=RANGE_ENDS, centre_radius=None)
    matches = matcher.match(points, is_candidate, targets_of(boxes))
    assert not (matches.is_positive & matches.is_negative).any()
    assert torch.equal(matches.is_positive | matches.is_negative, is_candidate)
    assert torch.equal(matches.is_positive, match(boxes, points).is_positive & is_candidate)


def test_rows_of_padding_are_not_learned() -> None:
    points = points_of(32, 32)
    targets = targets_of([[0.0, 0.0, 16.0, 16.0]])
    hidden = Targets(targets.boxes, targets.labels, torch.zeros_like(targets.is_valid))
    everyone = torch.ones(1, len(points.places), dtype=torch.bool)
    matches = PointMatcher(range_ends=RANGE_ENDS, centre_radius=None).match(points, everyone, hidden)
    assert matches.is_negative.all()


def test_boxes_around_points_have_the_distances_they_are_made_of() -> None:
    places = torch.tensor([[4.0, 6.0], [10.0, 3.0]])
    distances = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 1.0, 0.5, 7.0]])
    boxes: Tensor = boxes_around(places, distances)
    assert boxes.tolist() == [[3, 4, 7, 10], [5, 2, 10.5, 10]]
    assert torch.equal(distances_to_sides(places, boxes), distances)
