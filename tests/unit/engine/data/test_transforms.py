from collections import Counter
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from hrdet_cli.engine.data.augmentations import ResizeAugmentation, ResizeCropAugmentation
from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.transforms import Crop, Placement, Resizing, move_boxes, resize_within
from hrdet_cli.engine.geometry import Scale, Size

_NO_BOXES = np.zeros((0, 4), dtype=np.float32)
_SIZES = st.builds(Size, st.integers(1, 700), st.integers(1, 700))
_SCALES = st.tuples(st.integers(1, 900), st.integers(1, 900)).map(lambda edges: Scale(max(edges), min(edges)))


@st.composite
def _pictures(draw: st.DrawFn) -> tuple[Size, NDArray[np.float32]]:
    """A picture with up to five boxes of at least a pixel inside it."""
    size = draw(_SIZES)
    boxes = []
    for _ in range(draw(st.integers(0, 5))):
        x1, y1 = draw(st.floats(0, size.width - 1)), draw(st.floats(0, size.height - 1))
        x2, y2 = draw(st.floats(x1 + 1, size.width)), draw(st.floats(y1 + 1, size.height))
        boxes.append([x1, y1, x2, y2])
    return size, np.array(boxes, dtype=np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        # 480x640: the factors are 1333/640 = 2.083 and 800/480 = 1.667; the smaller gives 800 x 1066.67
        (Size(480, 640), Size(800, 1067)),
        (Size(640, 480), Size(1067, 800)),
        (Size(427, 640), Size(800, 1199)),
        (Size(500, 500), Size(800, 800)),
        (Size(100, 1000), Size(133, 1333)),
        (Size(2000, 3000), Size(800, 1200)),
        (Size(1, 4000), Size(1, 1333)),
    ],
)
def test_resized_sizes_are_those_of_mmdetection(size: Size, resized: Size) -> None:
    assert resize_within(size, Scale(1333, 800)) == resized


@given(size=st.builds(Size, st.integers(3, 90), st.integers(3, 90)))
def test_sizes_that_are_rounded_down_are_those_of_torchvision(size: Size) -> None:
    transform = GeneralizedRCNNTransform(min_size=80, max_size=133, image_mean=[0], image_std=[1])
    resized, _ = transform.eval().resize(torch.zeros(1, size.height, size.width))
    assert resize_within(size, Scale(133, 80), "down") == Size(*resized.shape[1:])


def test_a_picture_whose_edge_would_be_two_thirds_of_a_pixel_longer_is_rounded_as_told() -> None:
    # 480x640 at (1333, 800): 640 * 800 / 480 = 1066.67
    assert resize_within(Size(480, 640), Scale(1333, 800), "half-up") == Size(800, 1067)
    assert resize_within(Size(480, 640), Scale(1333, 800), "down") == Size(800, 1066)


@given(size=_SIZES, scale=_SCALES)
def test_a_resized_picture_never_exceeds_its_scale_and_never_changes_orientation(
    size: Size, scale: Scale
) -> None:
    resized = resize_within(size, scale)
    assert scale.turned(portrait=size.is_portrait).contains(resized)
    assert min(resized.height, resized.width) >= 1
    assert not (size.is_portrait and resized.width > resized.height)
    assert not (resized.is_portrait and size.width >= size.height)


def test_each_axis_of_a_box_scales_by_what_the_axis_really_got() -> None:
    boxes = np.array([[0, 0, 640, 427], [64, 42.7, 128, 85.4]], dtype=np.float32)
    moved, _ = move_boxes(boxes, Size(427, 640), Placement(Size(800, 1199)))
    expected = np.array([[0, 0, 1199, 800], [119.9, 80, 239.8, 160]])
    np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_of_inclusive_boxes_the_last_pixel_is_multiplied() -> None:
    # In 2019's terms [4, 2, 9, 7], which is [4, 2, 10, 8] here, becomes [8, 6, 18, 21] at twice the width and
    # three times the height, hence [8, 6, 19, 22].
    placement = Placement(Size(30, 40), resizing=Resizing(box_corners="inclusive"))
    moved, _ = move_boxes(np.array([[4, 2, 10, 8]], dtype=np.float32), Size(10, 20), placement)
    assert moved.tolist() == [[8, 6, 19, 22]]
    # Flipped in 40 columns, as 2019 did it: x1 = 40 - 18 - 1 = 21, last pixel 40 - 8 - 1 = 31.
    flipped = Placement(Size(30, 40), flipped=True, resizing=Resizing(box_corners="inclusive"))
    moved, _ = move_boxes(np.array([[4, 2, 10, 8]], dtype=np.float32), Size(10, 20), flipped)
    assert moved.tolist() == [[21, 6, 32, 22]]


def test_inclusive_boxes_begin_and_end_on_a_pixel_of_the_crop() -> None:
    # In 2019's terms the crop's pixels are 0 .. 9 and 0 .. 5, and all four corners are clipped to these.
    crop = Crop(top=2, left=6, size=Size(height=6, width=10))
    placement = Placement(Size(10, 20), crop, resizing=Resizing(box_corners="inclusive"))
    boxes = np.array([[0, 0, 20, 10], [0, 0, 6, 2], [18, 9, 20, 10]], dtype=np.float32)
    moved, _ = move_boxes(boxes, Size(10, 20), placement)
    assert moved.tolist() == [[0, 0, 10, 6], [0, 0, 1, 1], [9, 5, 10, 6]]


def test_an_augmentation_hands_its_conventions_on() -> None:
    conventions = Resizing(pixel_filter="bilinear", rounding="down", box_corners="inclusive")
    size, scales = Size(480, 640), (Scale(1333, 800),)
    resize = ResizeAugmentation(scales=scales, mode="choice", flip_probability=0, resizing=conventions)
    crop = ResizeCropAugmentation(
        scales=scales, crop=Scale(900, 900), flip_probability=0, resizing=conventions
    )
    for augmentation in (resize, crop):
        placement = augmentation.place(size, _NO_BOXES, generator_for(1))
        assert placement.resizing == conventions
        assert placement.resized == Size(800, 1066)
    assert resize.placed_size(size, scales[0]) == Size(800, 1066)


def test_a_flipped_box_is_mirrored_without_an_offset_of_one() -> None:
    boxes = np.array([[1, 2, 4, 6]], dtype=np.float32)
    moved, _ = move_boxes(boxes, Size(10, 20), Placement(Size(10, 20), flipped=True))
    assert moved.tolist() == [[16, 2, 19, 6]]


def test_a_crop_moves_clips_and_marks_boxes_and_flips_last() -> None:
    boxes = np.array([[0, 0, 20, 10], [8, 2, 12, 8], [0, 4, 11, 8], [18, 1, 20, 3]], dtype=np.float32)
    crop = Crop(top=2, left=6, size=Size(height=6, width=10))
    moved, centre_is_inside = move_boxes(boxes, Size(10, 20), Placement(Size(10, 20), crop))
    assert moved.tolist() == [[0, 0, 10, 6], [2, 0, 6, 6], [0, 2, 5, 6], [10, 0, 10, 1]]
    assert centre_is_inside.tolist() == [True, True, False, False]
    flipped, _ = move_boxes(boxes, Size(10, 20), Placement(Size(10, 20), crop, flipped=True))
    assert flipped.tolist() == [[0, 0, 10, 6], [4, 0, 8, 6], [5, 2, 10, 6], [0, 0, 0, 1]]


@pytest.mark.parametrize("box_corners", ["exclusive", "inclusive"])
def test_a_window_that_keeps_what_it_shows_keeps_boxes_of_which_a_part_lies_in_it(
    box_corners: Literal["exclusive", "inclusive"],
) -> None:
    boxes = np.array(
        [[0, 0, 20, 10], [0, 0, 7, 3], [0, 0, 6, 10], [16, 0, 20, 10], [15, 7, 20, 10], [0, 0, 20, 2]],
        dtype=np.float32,
    )
    crop = Crop(top=2, left=6, size=Size(height=6, width=10), keeps="shown")  # columns 6 to 16, rows 2 to 8
    placement = Placement(Size(10, 20), crop, resizing=Resizing(box_corners=box_corners))
    moved, is_kept = move_boxes(boxes, Size(10, 20), placement)
    assert is_kept.tolist() == [True, True, False, False, True, False]
    assert moved[is_kept].tolist() == [[0, 0, 10, 6], [0, 0, 1, 1], [9, 5, 10, 6]]


@pytest.mark.parametrize("box_corners", ["exclusive", "inclusive"])
def test_without_a_crop_every_box_is_kept_and_stays_inside(
    box_corners: Literal["exclusive", "inclusive"],
) -> None:
    boxes = np.array([[0, 0, 1, 1], [639, 426, 640, 427]], dtype=np.float32)
    resizing = Resizing(box_corners=box_corners)
    moved, is_kept = move_boxes(boxes, Size(427, 640), Placement(Size(13, 20), resizing=resizing))
    assert is_kept.all()
    assert moved.max() <= 20
    if box_corners == "inclusive":
        # In 2019's terms the second is [639, 426, 639, 426], clipped to [19, 12, 19, 12].
        assert moved.tolist() == [[0, 0, 1, 1], [19, 12, 20, 13]]


def test_choice_draws_every_scale_about_as_often() -> None:
    scales = (Scale(1600, 1000), Scale(1000, 600), Scale(1333, 800))
    augmentation = ResizeAugmentation(scales=scales, mode="choice", flip_probability=0.5)
    placements = [augmentation.place(Size(480, 640), _NO_BOXES, generator_for(key)) for key in range(3000)]
    counts = Counter(placement.resized for placement in placements)
    assert counts.keys() == {Size(1000, 1333), Size(600, 800), Size(800, 1067)}
    assert min(counts.values()) > 900
    assert 1400 < sum(placement.flipped for placement in placements) < 1600


def test_range_draws_long_and_short_edge_apart_and_reaches_both_ends() -> None:
    augmentation = ResizeAugmentation(scales=(Scale(20, 6), Scale(22, 10)), mode="range", flip_probability=0)
    # A strip shows the long edge, a square the short one.
    longs = {
        augmentation.place(Size(1, 1000), _NO_BOXES, generator_for(key)).resized.width for key in range(200)
    }
    shorts = {
        augmentation.place(Size(50, 50), _NO_BOXES, generator_for(key)).resized.width for key in range(200)
    }
    assert longs == {20, 21, 22}
    assert shorts == {6, 7, 8, 9, 10}


def test_range_between_equal_long_edges_keeps_them() -> None:
    augmentation = ResizeAugmentation(
        scales=(Scale(1600, 600), Scale(1600, 1000)), mode="range", flip_probability=0
    )
    for key in range(100):
        resized = augmentation.place(Size(500, 500), _NO_BOXES, generator_for(key)).resized
        assert 600 <= resized.width <= 1000


def test_range_needs_exactly_two_scales() -> None:
    with pytest.raises(ValueError, match="mode 'range' cannot draw from 3 scales"):
        ResizeAugmentation(scales=(Scale(9, 9),) * 3, mode="range", flip_probability=0)


@pytest.mark.parametrize(("probability", "flipped"), [(0, False), (1, True)])
def test_a_flip_that_is_certain_or_impossible_is_so(probability: float, flipped: bool) -> None:
    augmentation = ResizeAugmentation(scales=(Scale(9, 9),), mode="choice", flip_probability=probability)
    draws = {augmentation.place(Size(4, 4), _NO_BOXES, generator_for(key)).flipped for key in range(200)}
    assert draws == {flipped}


@given(picture=_pictures(), scale=_SCALES, crop=_SCALES, key=st.integers(0, 2**63 - 1))
def test_a_crop_keeps_the_chosen_box_and_nothing_outside_it(
    picture: tuple[Size, NDArray[np.float32]], scale: Scale, crop: Scale, key: int
) -> None:
    size, boxes = picture
    augmentation = ResizeCropAugmentation(scales=(scale,), crop=crop, flip_probability=0.5)
    placement = augmentation.place(size, boxes, generator_for(key))

    assert placement.resized == resize_within(size, scale)
    assert placement.crop is not None
    top, left, cropped = placement.crop.top, placement.crop.left, placement.crop.size
    assert crop.turned(portrait=size.is_portrait).contains(cropped)
    assert 0 <= top <= placement.resized.height - cropped.height
    assert 0 <= left <= placement.resized.width - cropped.width

    moved, centre_is_inside = move_boxes(boxes, size, placement)
    assert centre_is_inside.any() == (len(boxes) > 0)
    kept = moved[centre_is_inside]
    assert (kept[:, 2:] > kept[:, :2]).all()
    assert (moved >= 0).all()
    assert (moved <= [cropped.width, cropped.height] * 2).all()


@given(picture=_pictures(), scale=_SCALES, crop=_SCALES, key=st.integers(0, 2**63 - 1))
def test_a_crop_of_a_portrait_picture_is_never_wider_than_tall(
    picture: tuple[Size, NDArray[np.float32]], scale: Scale, crop: Scale, key: int
) -> None:
    size, boxes = picture
    placed = (
        ResizeCropAugmentation(scales=(scale,), crop=crop, flip_probability=0)
        .place(size, boxes, generator_for(key))
        .placed
    )
    assert not (size.is_portrait and placed.width > placed.height)
    assert not (placed.is_portrait and size.width >= size.height)


def test_a_crop_turns_with_the_picture_even_if_the_resize_makes_it_square() -> None:
    # 401 x 400 becomes 100 x 100, but the picture shares its batch and its canvas with portrait ones.
    augmentation = ResizeCropAugmentation(scales=(Scale(100, 100),), crop=Scale(90, 50), flip_probability=0)
    assert augmentation.place(Size(401, 400), _NO_BOXES, generator_for(0)).placed == Size(90, 50)


def test_a_crop_lies_around_its_box_with_jitter_in_both_axes() -> None:
    boxes = np.array([[690, 490, 710, 510]], dtype=np.float32)  # centre (700, 500)
    augmentation = ResizeCropAugmentation(
        scales=(Scale(1400, 1000),), crop=Scale(600, 400), flip_probability=0
    )
    crops = [augmentation.place(Size(1000, 1400), boxes, generator_for(key)).crop for key in range(2000)]
    tops, lefts = {crop.top for crop in crops if crop}, {crop.left for crop in crops if crop}
    assert tops == set(range(300 - 10, 300 + 11))
    assert lefts == set(range(400 - 30, 400 + 31))


def test_every_box_is_chosen_about_as_often() -> None:
    corners = np.array([[0, 0, 10, 10], [990, 0, 1000, 10], [0, 990, 10, 1000], [990, 990, 1000, 1000]])
    boxes = corners.astype(np.float32)
    augmentation = ResizeCropAugmentation(
        scales=(Scale(1000, 1000),), crop=Scale(300, 300), flip_probability=0
    )
    kept = np.zeros(4)
    for key in range(1000):
        placement = augmentation.place(Size(1000, 1000), boxes, generator_for(key))
        kept += move_boxes(boxes, Size(1000, 1000), placement)[1]
    assert kept.sum() == 1000
    assert kept.min() > 200


def test_a_picture_without_boxes_is_cropped_anywhere() -> None:
    augmentation = ResizeCropAugmentation(scales=(Scale(12, 12),), crop=Scale(9, 9), flip_probability=0)
    crops = {augmentation.place(Size(12, 12), _NO_BOXES, generator_for(key)).crop for key in range(500)}
    assert {(crop.top, crop.left) for crop in crops if crop} == {
        (top, left) for top in range(4) for left in range(4)
    }


_JITTER = ScaleJitterAugmentation(edge=64, flip_probability=0.5)


@given(size=_SIZES, key=st.integers(0, 2**63 - 1))
def test_jitter_resizes_and_cuts_as_detectron2_does(size: Size, key: int) -> None:
    placement = _JITTER.place(size, _NO_BOXES, generator_for(key))
    scale = _JITTER.draw_scale(generator_for(key))
    factor = generator_for(key).uniform(0.1, 2.0)
    # ResizeScale of detectron2: the target's edge times the factor, over the edges, the smaller of both
    fitting = min(64 * factor / size.height, 64 * factor / size.width)
    assert abs(placement.resized.height - size.height * fitting) <= 1
    assert abs(placement.resized.width - size.width * fitting) <= 1
    assert placement.crop is not None
    top, left, window = placement.crop.top, placement.crop.left, placement.crop.size
    assert window == _JITTER.placed_size(size, scale) == placement.placed
    assert window.height == min(64, placement.resized.height)
    assert window.width == min(64, placement.resized.width)
    assert 0 <= top <= placement.resized.height - window.height
    assert 0 <= left <= placement.resized.width - window.width


def test_jitter_draws_factors_evenly_and_windows_anywhere() -> None:
    placements = [_JITTER.place(Size(100, 100), _NO_BOXES, generator_for(key)) for key in range(4000)]
    edges = np.array([placement.resized.width for placement in placements])
    assert (edges.min(), edges.max()) == (6, 128)
    assert np.abs(np.histogram(edges, bins=4, range=(6.4, 128))[0] / 4000 - 0.25).max() < 0.03
    cut = [p.crop for p in placements if p.crop is not None and p.resized.width == 100]
    assert len({(crop.top, crop.left) for crop in cut}) > 0.9 * len(cut)  # both axes for themselves
    assert _JITTER.typical_scales()[0] == Scale(6, 6)
    assert _JITTER.typical_scales()[-1] == Scale(128, 128)
    assert 0.45 < np.mean([placement.flipped for placement in placements]) < 0.55
