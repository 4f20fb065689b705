import pytest
import torch

from hrdet_cli.engine.models.dense.anchor_shapes import CellArea
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.points import Points, lay_points
from hrdet_cli.engine.structures import Size

GRIDS, STRIDES = [Size(2, 3), Size(1, 2)], (8, 16)


def points_of(*, area: CellArea = "picture") -> Points:
    return lay_points(GRIDS, STRIDES, layout=PointLayout(area=area), device=torch.device("cpu"))


def test_points_are_the_middles_of_cells_level_by_level_and_row_by_row() -> None:
    points = points_of()
    assert points.places.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert points.strides.tolist() == [8] * 6 + [16] * 2
    assert points.level_lengths == [6, 2]


def test_points_may_lie_at_corners_and_cells_share_the_canvas_out() -> None:
    """16 x 24 pixels: the coarser level's two columns are 12 pixels apart, as torchvision lays them."""
    layout = PointLayout(offset=0, step="canvas", area="picture")
    points = lay_points(GRIDS, STRIDES, layout=layout, device=torch.device("cpu"))
    assert points.places.tolist() == [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8], [0, 0], [12, 0]]
    trains = points.belong_to(torch.tensor([[8, 12]]))[0]
    assert trains.tolist() == [True, True, False, False, False, False, True, False]


@pytest.mark.parametrize(
    ("area", "trains"),
    [
        # 9 pixels high, 8 wide: the second row begins in the picture though its points lie below; the second
        # column begins beyond.
        ("picture", [True, False, False, True, False, False, True, False]),
        ("padded", [True] * 8),
        ("canvas", [True] * 8),
    ],
)
def test_the_area_decides_by_its_cell_whether_a_point_trains(area: CellArea, trains: list[bool]) -> None:
    points, sizes = points_of(area=area), torch.tensor([[9, 8]])
    assert points.belong_to(sizes)[0].tolist() == trains
    finds = points.may_find_in(sizes)[0]
    assert finds.tolist() == (trains if area == "picture" else [True] * 8)
