import pytest
import torch

from hrdet_cli.engine.models.boxes.clipping import BoxClipping

SIZE = torch.tensor([[30, 40]])  # height, width


def test_boxes_are_cut_at_the_height_and_width_of_their_picture() -> None:
    boxes = torch.tensor([-5.0, -5.0, 100.0, 100.0]).expand(2, 3, 2, 4)
    clipped, is_left = BoxClipping().clip(boxes, torch.tensor([[30, 40], [50, 20]]))
    assert clipped[0, 2, 1].tolist() == [0, 0, 40, 30]
    assert clipped[1, 0, 0].tolist() == [0, 0, 20, 50]
    assert is_left.shape == (2, 3, 2)
    assert is_left.all()


def test_nothing_is_left_of_a_box_outside_its_picture() -> None:
    boxes = torch.tensor([[[50.0, 5.0, 60.0, 9.0], [5.0, -9.0, 7.0, -2.0], [39.0, 29.0, 50.0, 50.0]]])
    _, is_left = BoxClipping().clip(boxes, SIZE)
    assert is_left.tolist() == [[False, False, True]]


def test_with_inclusive_corners_a_box_begins_and_ends_with_a_pixel_of_its_picture() -> None:
    boxes = torch.tensor([[[-5.0, -5.0, 100.0, 100.0], [50.0, -9.0, 60.0, -2.0], [39.5, 2.5, 39.75, 29.5]]])
    clipped, is_left = BoxClipping(corners="inclusive").clip(boxes, SIZE)
    assert clipped[0, 0].tolist() == [0, 0, 40, 30]
    assert clipped[0, 1].tolist() == [39, 0, 40, 1]  # right of and above the picture: the pixel in the corner
    assert clipped[0, 2].tolist() == [39, 2.5, 39.75, 29.5]
    assert is_left.tolist() == [[True, True, True]]


@pytest.mark.parametrize(
    ("min_side_pixels", "is_left"),
    # Sides of the clipped boxes: 2 x 3, 3 x 2, 2.5 x 3 (of 10 x 3), 3 x 3, 0 x 3.
    [(0, [True, True, True, True, False]), (2.5, [False, False, True, True, False]), (3.5, [False] * 5)],
)
def test_boxes_with_a_shorter_side_are_not_kept(min_side_pixels: float, is_left: list[bool]) -> None:
    boxes = torch.tensor([[[5.0, 5, 7, 8], [5, 5, 8, 7], [37.5, 5, 47.5, 8], [5, 5, 8, 8], [5, 5, 5, 8]]])
    _, found = BoxClipping(min_side_pixels=min_side_pixels).clip(boxes, SIZE)
    assert found.tolist() == [is_left]
