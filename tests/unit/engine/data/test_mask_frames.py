"""Masks in the frames of their boxes, against points looked up in the original picture one by one."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from hrdet_cli.engine.data.mask_frames import FRAME_CELLS, draw_frames, fill_polygons
from hrdet_cli.engine.data.transforms import Crop, Placement, Resizing, move_boxes
from hrdet_cli.engine.geometry import Size
from tests.unit.engine.data.given_segmentations import Polygon, segmentations_of

ORIGINAL = Size(height=40, width=60)
PLACEMENTS = [
    Placement(ORIGINAL),
    Placement(Size(83, 121)),
    Placement(Size(83, 121), flipped=True),
    Placement(Size(83, 121), Crop(top=11, left=23, size=Size(51, 67))),
    Placement(Size(83, 121), Crop(top=11, left=23, size=Size(51, 67)), flipped=True),
    Placement(Size(83, 121), Crop(top=11, left=23, size=Size(51, 67), keeps="shown")),
    Placement(Size(83, 121), flipped=True, quarter_turns=2),
    Placement(Size(83, 121), Crop(top=11, left=23, size=Size(51, 67)), quarter_turns=1),
    Placement(Size(83, 121), Crop(top=11, left=23, size=Size(51, 67)), flipped=True, quarter_turns=3),
    Placement(Size(31, 47), flipped=True, resizing=Resizing(box_corners="inclusive")),
]


def star(centre: tuple[float, float], radii: Sequence[float]) -> Polygon:
    """A polygon around a point, with ``radii`` at equal angles."""
    angles = np.linspace(0, 2 * np.pi, len(radii), endpoint=False) + 0.3
    corners = np.array(centre) + np.array(radii)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.asarray(corners, dtype=np.float32)


def is_inside(point: tuple[float, float], polygon: Polygon) -> bool:
    """Whether a ray to the right of a point meets the polygon an odd number of times."""
    x, y = point
    corners = polygon.astype(np.float64)
    meets = 0
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        meets += bool((y1 > y) != (y2 > y) and x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    return meets % 2 == 1


def original_point(x: float, y: float, placement: Placement) -> tuple[float, float]:
    """Undo turn, flip, crop and resize, one after the other."""
    height = placement.placed.height
    for _ in range(placement.quarter_turns):  # back: clockwise, which puts the left edge on top
        x, y, height = height - y, x, placement.placed.width + placement.placed.height - height
    if placement.flipped:
        x = placement.upright.width - x
    if placement.crop is not None:
        x, y = x + placement.crop.left, y + placement.crop.top
    resized = placement.resized
    return x * ORIGINAL.width / resized.width, y * ORIGINAL.height / resized.height


def frame_point(box: NDArray[np.float32], placement: Placement, row: int, column: int) -> tuple[float, float]:
    """The centre of a cell of a frame in the original picture."""
    x1, y1, x2, y2 = box.astype(np.float64).tolist()
    u, v = ((cell + 0.5) / FRAME_CELLS for cell in (column, row))
    return original_point(x1 + u * (x2 - x1), y1 + v * (y2 - y1), placement)


def moved(box: Sequence[float], placement: Placement) -> NDArray[np.float32]:
    boxes, _ = move_boxes(np.array([box], dtype=np.float32), ORIGINAL, placement)
    return boxes


pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
radii = st.lists(st.floats(1, 18), min_size=3, max_size=7)


@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=30)
@given(first=radii, second=radii)
def test_a_cell_is_of_the_object_where_its_centre_lies_in_a_polygon_of_the_original_picture(
    placement: Placement, first: list[float], second: list[float]
) -> None:
    polygons = [star((27, 19), first), star((38, 21), second)]
    boxes = moved([10, 5, 55, 36], placement)
    mask = draw_frames(segmentations_of([polygons]), boxes, ORIGINAL, placement)[0]
    generator = np.random.default_rng(0)
    for row, column in generator.integers(FRAME_CELLS, size=(20, 2)).tolist():
        point = frame_point(boxes[0], placement, row, column)
        assert mask[row, column] == any(is_inside(point, polygon) for polygon in polygons)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_cell_is_of_the_object_where_its_centre_lies_in_a_pixel_of_its_bitmap(placement: Placement) -> None:
    bitmap = np.random.default_rng(1).random((ORIGINAL.height, ORIGINAL.width)) < 0.5
    boxes = moved([7, 3, 58, 39], placement)
    mask = draw_frames(segmentations_of([bitmap]), boxes, ORIGINAL, placement)[0]
    for row in range(FRAME_CELLS):
        points = [frame_point(boxes[0], placement, row, column) for column in range(FRAME_CELLS)]
        expected = [bitmap[min(int(y), 39), min(int(x), 59)] for x, y in points]
        assert mask[row].tolist() == expected


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_bitmap_and_the_polygons_around_its_pixels_have_the_same_mask(placement: Placement) -> None:
    bitmap = np.zeros((ORIGINAL.height, ORIGINAL.width), dtype=np.bool_)
    bitmap[4:31, 9:22] = True
    bitmap[12:19, 22:50] = True
    around = [
        np.array([[9, 4], [22, 4], [22, 31], [9, 31]], dtype=np.float32),
        np.array([[22, 12], [50, 12], [50, 19], [22, 19]], dtype=np.float32),
    ]
    boxes = np.repeat(moved([8.7, 3.1, 50.6, 31.2], placement), 2, axis=0)
    of_bitmap, of_polygons = draw_frames(segmentations_of([bitmap, around]), boxes, ORIGINAL, placement)
    assert 0 < of_bitmap.sum() < of_bitmap.size
    assert np.array_equal(of_bitmap, of_polygons)


@given(radii=radii)
def test_a_flip_mirrors_masks(radii: list[float]) -> None:
    segmentations = segmentations_of([[star((30.1, 20.3), radii)]])
    plain, flipped = Placement(Size(83, 121)), Placement(Size(83, 121), flipped=True)
    masks = [
        draw_frames(segmentations, moved([12, 3, 49, 38], placement), ORIGINAL, placement)
        for placement in (plain, flipped)
    ]
    assert (masks[0] != masks[1][:, :, ::-1]).sum() <= 1  # a centre on an edge to the last bit


def test_a_crop_shows_its_part_of_the_mask_in_the_whole_frame() -> None:
    segmentations = segmentations_of([[np.array([[0, 0], [60, 0], [0, 40]], dtype=np.float32)]])
    whole = Placement(Size(80, 120))
    quarter = Placement(Size(80, 120), Crop(top=0, left=0, size=Size(40, 60)))
    mask = draw_frames(segmentations, moved([0, 0, 60, 40], whole), ORIGINAL, whole)[0]
    part = draw_frames(segmentations, moved([0, 0, 60, 40], quarter), ORIGINAL, quarter)[0]
    half = FRAME_CELLS // 2
    assert np.array_equal(part[::2, ::2][: half - 1, : half - 1], mask[: half - 1, : half - 1])
    assert part[:-1, :-1].all()  # the diagonal begins where the crop ends
    assert abs(mask.mean() - 0.5) < 0.01


def test_what_lies_far_outside_of_a_frame_costs_nothing_and_changes_nothing() -> None:
    thin = Placement(Size(40, 60), Crop(top=10, left=30, size=Size(1, 1)))
    far = np.array([[-9e8, -9e8], [9e8, -9e8], [9e8, 9e8], [-9e8, 9e8]], dtype=np.float32)
    boxes = np.array([[0, 0, 1e-3, 1]], dtype=np.float32)
    assert draw_frames(segmentations_of([[far]]), boxes, ORIGINAL, thin).all()


def test_pictures_without_objects_have_no_masks() -> None:
    masks = draw_frames(segmentations_of([]), np.zeros((0, 4), np.float32), ORIGINAL, Placement(ORIGINAL))
    assert masks.shape == (0, FRAME_CELLS, FRAME_CELLS)


def test_an_object_that_covers_nothing_has_an_empty_mask_among_others() -> None:
    square = np.array([[10, 10], [20, 10], [20, 20], [10, 20]], dtype=np.float32)
    objects: list[list[Polygon]] = [[square], [], [square, square + 3]]
    boxes = np.array([[10, 10, 20, 20]] * 3, dtype=np.float32)
    masks = draw_frames(segmentations_of(objects), boxes, ORIGINAL, Placement(ORIGINAL))
    assert masks.mean(axis=(1, 2)).tolist() == [1, 0, 1]


fifths = st.integers(-100, 650)


@given(corners=st.lists(st.tuples(fifths, fifths), min_size=3, max_size=12))
def test_polygons_are_filled_as_pycocotools_fills_them_but_where_it_rounds_their_edges(
    corners: list[tuple[int, int]],
) -> None:
    """pycocotools draws edges between corners on a grid of fifths, to which it rounds what it is given.

    From corners on that grid its steps cross the middle of each column as often as the edges do, and the
    centres on the wrong side of a step lie at most half a fifth above or below the edge.
    """
    given = np.array(corners)
    ours = fill_polygons(given / 5, np.array([0, len(given)]), FRAME_CELLS)[0]
    # It adds a half and cuts fractions off, and so takes numbers below zero for the next higher ones.
    flat = ((given - (given < 0)) / 5).ravel().tolist()
    theirs = pycocotools_mask.decode(pycocotools_mask.frPyObjects([flat], FRAME_CELLS, FRAME_CELLS))[..., 0]
    rows, columns = np.nonzero(ours != theirs)
    starts, ends = given / 5, np.roll(given / 5, -1, axis=0)
    x1, x2 = starts[:, 0], ends[:, 0]
    is_crossed = np.minimum(x1, x2) < columns[:, None] + 0.5
    is_crossed &= np.maximum(x1, x2) > columns[:, None] + 0.5
    share = (columns[:, None] + 0.5 - x1) / np.where(x1 == x2, 1, x2 - x1)
    distance = np.abs(starts[:, 1] + share * (ends - starts)[:, 1] - rows[:, None] - 0.5)
    assert (np.where(is_crossed, distance, np.inf).min(axis=1, initial=np.inf) <= 0.1 + 1e-9).all()


def test_segmentations_of_some_rows_are_those_of_the_rows() -> None:
    bitmap = np.eye(40, 60, dtype=np.bool_)
    triangle = np.array([[1, 2], [3, 4], [5, 0]], dtype=np.float32)
    taken = segmentations_of([[triangle], bitmap, [], [triangle + 1, triangle + 2]]).take(
        np.array([3, 1, 2, 3])
    )
    expected = segmentations_of([[triangle + 1, triangle + 2], bitmap, [], [triangle + 1, triangle + 2]])
    assert len(taken) == 4
    for name in ("corners", "corner_offsets", "polygon_offsets", "runs", "run_offsets"):
        assert np.array_equal(getattr(taken, name), getattr(expected, name))
