import torch

from hrdet_cli.engine.data.padding import rounded_up
from hrdet_cli.engine.export.check_pictures import DRAWN_SIZES, draw_picture, resize_picture
from hrdet_cli.engine.geometry import Size


def test_drawn_pictures_have_three_sizes_of_which_one_rounds_every_side() -> None:
    pictures = [draw_picture(size) for size in DRAWN_SIZES]
    assert [tuple(picture.shape) for picture in pictures] == [(3, 256, 320), (3, 320, 256), (3, 470, 600)]
    assert [rounded_up(side) % 64 for side in (470, 600)] == [32, 32]
    assert all(picture.dtype == torch.uint8 and picture.is_contiguous() for picture in pictures)
    assert all(picture.float().std() > 20 for picture in pictures)


def test_the_same_size_is_the_same_picture() -> None:
    assert torch.equal(draw_picture(Size(64, 80)), draw_picture(Size(64, 80)))


def test_a_picture_keeps_its_shape_at_three_scales() -> None:
    picture = torch.full((3, 400, 600), 9, dtype=torch.uint8)
    resized = resize_picture(picture)
    # 320 x 256 is met by the long edge: 600 * 320 / 600, 400 * 320 / 600 = 213.3
    assert [tuple(small.shape) for small in resized] == [(3, 213, 320), (3, 320, 480), (3, 407, 611)]
    assert all((small == 9).all() for small in resized)
