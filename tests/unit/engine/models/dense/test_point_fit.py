import numpy as np
import pytest
import torch

from hrdet_cli.engine.models.dense.anchor_fit import PlacedBoxes
from hrdet_cli.engine.models.dense.point_fit import PointFit
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.point_matching import PointMatcher
from hrdet_cli.engine.models.dense.points import lay_points
from hrdet_cli.engine.models.necks.levels import fpn_levels, hrfpn_levels
from hrdet_cli.engine.structures import Size, Targets

RANGE_ENDS = (30.0, 60.0, 90.0, 120.0)
LEVELS = {"FPN": fpn_levels(8), "HRFPN": hrfpn_levels(8)}


def placed(boxes: torch.Tensor, canvas: tuple[int, int]) -> PlacedBoxes:
    sizes = np.array([canvas] * len(boxes), dtype=np.int64).reshape(-1, 2)
    return PlacedBoxes(boxes=boxes.double().numpy(), pictures=sizes, canvases=sizes)


def random_boxes(count: int, canvas: tuple[int, int]) -> torch.Tensor:
    """Many so small or so narrow that they lie between points."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.tensor([canvas[1], canvas[0]])
    sides = torch.rand(count, 2, generator=generator) ** 4 * (edges - 2) + 1
    starts = torch.rand(count, 2, generator=generator) * (edges - sides)
    return torch.cat((starts, starts + sides), dim=1)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("canvas", [(160, 224), (96, 128)])
@pytest.mark.parametrize("centre_radius", [None, 0.4, 1.5])
@pytest.mark.parametrize("layout", [PointLayout(), PointLayout(offset=0, step="canvas")])
def test_the_boxes_that_can_be_learned_are_those_that_a_point_learns_where_they_are_alone(
    levels: str, canvas: tuple[int, int], centre_radius: float | None, layout: PointLayout
) -> None:
    boxes = random_boxes(300, canvas)
    strides = LEVELS[levels].strides
    rows, columns = (
        [int(LEVELS[levels].num_cells(np.array(edge), level=level)) for level in range(5)] for edge in canvas
    )
    points = lay_points(
        [Size(*cells) for cells in zip(rows, columns, strict=True)],
        strides,
        layout=layout,
        device=torch.device("cpu"),
    )
    alone = Targets(
        boxes=boxes[:, None],
        labels=torch.zeros(len(boxes), 1).long(),
        is_valid=torch.ones(len(boxes), 1, dtype=torch.bool),
    )
    takes_part = points.belong_to(torch.tensor([canvas])).expand(len(boxes), -1)
    matcher = PointMatcher(range_ends=RANGE_ENDS, centre_radius=centre_radius)
    wanted = matcher.match(points, takes_part, alone).is_positive.any(dim=1)
    fit = PointFit(levels=LEVELS[levels], layout=layout, range_ends=RANGE_ENDS, centre_radius=centre_radius)
    found = fit.can_learn(placed(boxes, canvas))
    assert found.tolist() == wanted.tolist()
    assert 30 < found.sum() < 290


def test_a_box_between_the_points_of_all_levels_cannot_be_learned() -> None:
    fit = PointFit(levels=fpn_levels(8), layout=PointLayout(), range_ends=RANGE_ENDS, centre_radius=None)
    # Points of stride 8 are at 4, 12, 20 ..., those of stride 16 at 8, 24 ...
    boxes = torch.tensor([[12.5, 20.0, 15.5, 40.0], [11.5, 20.0, 15.5, 40.0]])
    assert fit.can_learn(placed(boxes, (96, 96))).tolist() == [False, True]


def test_no_boxes_are_none_that_can_be_learned() -> None:
    fit = PointFit(levels=fpn_levels(8), layout=PointLayout(), range_ends=RANGE_ENDS, centre_radius=None)
    assert fit.can_learn(placed(torch.zeros(0, 4), (96, 96))).shape == (0,)
