import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.mask_overlay import (
    Veil,
    lay_over,
    veil_in_box,
    veil_over_picture,
    veils_of,
)
from hrdet_cli.engine.visualisation.palette import class_colour

GREY, RED, BLUE = (128, 128, 128), (255, 0, 0), (0, 0, 255)
EDGE_OF_RED, VEIL_OF_RED = (242, 13, 13), (179, 77, 77)  # 0.9 and 0.4 of it over grey


def square(*, left: int = 4, top: int = 3, side: int = 8, colour: tuple[int, int, int] = RED) -> Veil:
    return Veil(np.ones((side, side), dtype=np.bool_), left, top, colour)


def where(picture: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int]]:
    found = (np.asarray(picture) == colour).all(axis=2)
    return list(zip(*(places.tolist() for places in np.nonzero(found)), strict=True))


@pytest.mark.parametrize("line", [1, 2])
def test_a_mask_is_a_veil_with_a_line_inside_its_edge(line: int) -> None:
    picture = Image.new("RGB", (20, 15), GREY)
    drawn = lay_over(picture, [square()], line=line)
    inner = {(y, x) for y in range(3 + line, 11 - line) for x in range(4 + line, 12 - line)}
    whole = {(y, x) for y in range(3, 11) for x in range(4, 12)}
    assert set(where(drawn, VEIL_OF_RED)) == inner
    assert set(where(drawn, EDGE_OF_RED)) == whole - inner
    assert len(where(drawn, GREY)) == 20 * 15 - len(whole)
    assert len(where(picture, GREY)) == 20 * 15  # the given picture stays as it is


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_of_two_masks_is_seen_and_their_colours_do_not_mix(order: int) -> None:
    masks = [square(), square(left=6, top=5, side=4, colour=BLUE)][::order]
    drawn = lay_over(Image.new("RGB", (20, 15), GREY), masks)
    assert drawn.getpixel((7, 6)) == (77, 77, 179)
    assert set(where(drawn, (13, 13, 242))) >= {(5, x) for x in range(6, 10)}


def test_what_of_a_mask_lies_outside_of_the_picture_is_lost_without_harm() -> None:
    picture = Image.new("RGB", (20, 15), GREY)
    corner = lay_over(picture, [square(left=-4, top=-4)])
    assert len(where(corner, GREY)) == 20 * 15 - 16
    assert corner.getpixel((0, 0)) == VEIL_OF_RED  # its edge is cut off with the rest
    for left, top in ((20, 0), (0, 15), (-8, 0), (0, -8)):
        assert len(where(lay_over(picture, [square(left=left, top=top)]), GREY)) == 20 * 15


@pytest.mark.parametrize("frame", [np.ones((28, 28), np.float32), np.ones((112, 112), np.uint8)])
@pytest.mark.parametrize(
    ("box", "extent"),
    [
        ((10, 8, 30, 20), (10, 8, 30, 20)),
        ((10.4, 7.6, 29.7, 20.3), (10, 8, 30, 20)),
        ((5.2, 5.1, 5.4, 5.3), (5, 5, 6, 6)),
    ],
)
def test_a_full_frame_covers_the_pixels_of_its_box(
    frame: np.ndarray, box: tuple[float, ...], extent: tuple[int, ...]
) -> None:
    veil = veil_in_box(frame, (box[0], box[1], box[2], box[3]), RED)
    assert veil.bitmap.all()
    height, width = veil.bitmap.shape
    assert (veil.left, veil.top, veil.left + width, veil.top + height) == extent


def test_the_edge_of_a_frame_is_where_its_numbers_pass_one_half() -> None:
    rising = np.tile(
        (np.arange(28, dtype=np.float32) + 0.5) / 28, (28, 1)
    )  # the share of the way to the right
    veil = veil_in_box(rising, (0, 0, 200, 50), RED)
    assert np.array_equal(veil.bitmap, np.tile(np.arange(200) >= 100, (50, 1)))
    downwards = veil_in_box(rising.T, (0, 0, 50, 200), RED)
    assert np.array_equal(downwards.bitmap, veil.bitmap.T)


def test_a_bitmap_of_the_picture_is_drawn_at_the_size_of_the_drawing() -> None:
    bitmap = np.zeros((30, 40), dtype=np.bool_)
    bitmap[10:20, 8:32] = True
    assert veil_over_picture(bitmap, (40, 30), RED).bitmap is bitmap
    for factor in (0.5, 2):
        size = round(40 * factor), round(30 * factor)
        drawn = veil_over_picture(bitmap, size, RED).bitmap
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        assert [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1] == [
            10 * factor,
            20 * factor,
            8 * factor,
            32 * factor,
        ]


@pytest.mark.parametrize("zoom", [1, 2])
def test_masks_of_detections_are_no_larger_than_they_are_and_may_be_empty(zoom: int) -> None:
    bitmaps = np.zeros((30, 40, 2), dtype=np.uint8, order="F")
    bitmaps[10:20, 8:32, 0] = 1
    bitmaps[12:15, 10, 0] = 0
    masks = MaskRuns(Size(30, 40), tuple(runs["counts"] for runs in coco_mask.encode(bitmaps)))
    found, empty = veils_of(masks, [3, 1], (40 * zoom, 30 * zoom))
    assert (found.left, found.top, found.bitmap.shape) == (8 * zoom, 10 * zoom, (10 * zoom, 24 * zoom))
    assert not found.bitmap[3 * zoom, 2 * zoom + zoom // 2]
    assert (found.colour, empty.colour) == (class_colour(3), class_colour(1))
    assert empty.bitmap.size == 0
    picture = Image.new("RGB", (40 * zoom, 30 * zoom), GREY)
    assert lay_over(picture, [empty]) == picture
