"""Marked pictures: the right part, at the right size, with marks where their boxes are."""

import numpy as np

from hrdet_cli.engine.visualisation.marked_picture import (
    COLOURS,
    Mark,
    draw_mark_legend,
    draw_marks,
    region_around,
)

GREY = np.full((100, 200, 3), 128, dtype=np.uint8)


def test_a_mark_is_where_its_box_is() -> None:
    picture = draw_marks(GREY, [Mark((20, 30, 60, 80), "right")], longest=400)
    assert picture.size == (400, 200)
    assert picture.getpixel((40, 100)) == COLOURS["right"]
    assert picture.getpixel((119, 100)) == COLOURS["right"]
    assert picture.getpixel((80, 100)) == (128, 128, 128)


def test_a_region_is_cut_out_and_ends_with_the_picture() -> None:
    picture = draw_marks(GREY, [Mark((180, 80, 200, 100), "false")], longest=100, region=(150, 50, 250, 150))
    assert picture.size == (100, 100)
    assert picture.getpixel((60, 80)) == COLOURS["false"]
    far_away = draw_marks(GREY, [], longest=64, region=(500, 500, 600, 600))
    assert far_away.size == (8, 8)  # one pixel, enlarged by no more than 8


def test_what_is_right_lies_below_what_is_wrong() -> None:
    box = (20, 30, 60, 80)
    picture = draw_marks(GREY, [Mark(box, "misplaced"), Mark(box, "right")], longest=200)
    assert picture.getpixel((20, 50)) == COLOURS["misplaced"]


def test_a_mask_lies_below_its_box() -> None:
    mask = np.zeros((100, 200), dtype=np.bool_)
    mask[30:80, 20:40] = True
    picture = draw_marks(GREY, [Mark((20, 30, 60, 80), "false", mask=mask)], longest=200)
    assert picture.getpixel((35, 60)) != (128, 128, 128)
    assert picture.getpixel((50, 60)) == (128, 128, 128)
    assert picture.getpixel((20, 60)) == COLOURS["false"]


def test_a_region_around_boxes_is_a_square_that_shows_what_is_near() -> None:
    boxes = [(10.0, 20.0, 30.0, 60.0), (20.0, 20.0, 50.0, 40.0)]
    assert region_around(boxes, context=2, least=10) == (-10, 0, 70, 80)
    assert region_around([(10.0, 10.0, 12.0, 12.0)], context=2, least=64) == (-21, -21, 43, 43)


def test_the_legend_fits_a_phone() -> None:
    legend = draw_mark_legend(
        {"right": "found", "missed": "not found by anything at all", "false": "nothing"}
    )
    assert legend.width == 360
    assert 40 < legend.height < 120
