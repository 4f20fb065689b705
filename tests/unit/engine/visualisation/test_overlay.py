import numpy as np
from PIL import Image, ImageDraw

from hrdet_cli.engine.visualisation.overlay import (
    LegendEntry,
    draw_box,
    draw_dashed_box,
    draw_legend,
    hatched,
)
from hrdet_cli.engine.visualisation.palette import HATCH_GROUND, HATCH_LINE, INK, PAPER

GREY = (128, 128, 128)
RED = (255, 0, 0)


def test_a_box_is_drawn_inside_its_edges_with_one_dark_line_around() -> None:
    picture = Image.new("RGB", (40, 30), GREY)
    draw_box(ImageDraw.Draw(picture), (10, 8, 30, 20), RED)
    pixels = np.asarray(picture)
    is_red = (pixels == RED).all(axis=2)
    expected = np.zeros((30, 40), dtype=bool)
    expected[8:20, 10:30] = True
    expected[10:18, 12:28] = False
    assert np.array_equal(is_red, expected)
    outside = np.ones((30, 40), dtype=bool)
    outside[7:21, 9:31] = False
    assert (pixels[outside] == GREY).all()
    assert (pixels[7, 9:31] == (102, 0, 0)).all()


def test_a_box_thinner_than_a_pixel_is_still_seen() -> None:
    picture = Image.new("RGB", (20, 20), GREY)
    draw_box(ImageDraw.Draw(picture), (5.2, 5.1, 5.4, 5.3), RED)
    is_red = (np.asarray(picture) == RED).all(axis=2)
    assert is_red[5, 5]
    assert is_red.sum() <= 4


def test_dashes_are_dark_and_white_on_every_side_and_nowhere_else() -> None:
    picture = Image.new("RGB", (60, 50), GREY)
    draw_dashed_box(ImageDraw.Draw(picture), (5, 5, 55, 45))
    pixels = np.asarray(picture)
    for side in (pixels[5, 5:55], pixels[44, 5:55], pixels[5:45, 5], pixels[5:45, 54]):
        assert {tuple(pixel) for pixel in side.tolist()} == {INK, PAPER}
    is_drawn = (pixels != GREY).any(axis=2)
    assert is_drawn.sum() == 2 * 50 + 2 * 40 - 4


def test_hatching_is_mostly_ground() -> None:
    pixels = np.asarray(hatched(90, 45))
    assert pixels.shape == (45, 90, 3)
    is_ground = (pixels == HATCH_GROUND).all(axis=2)
    assert ((pixels == HATCH_LINE).all(axis=2) | is_ground).all()
    assert 0.7 < is_ground.mean() < 0.9


def test_a_long_legend_takes_more_rows_inside_its_width() -> None:
    entries = [LegendEntry(f"class {number}", "class", RED) for number in range(20)]
    sheet = Image.new("RGB", (400, 200), PAPER)
    bottom = draw_legend(sheet, entries, left=10, top=5, right=390)
    assert bottom == 5 + 4 * 22 + 22  # four entries of about 80 pixels a row
    pixels = (np.asarray(sheet) != PAPER).any(axis=2)
    assert not pixels[bottom:].any()
    assert not pixels[:, 390:].any()
