from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.pixels import move_pixels, settle_pixels
from hrdet_cli.engine.data.transforms import Crop, Placement, Resizing, move_boxes
from hrdet_cli.engine.geometry import Size

_PIXELS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)).permute(
    2, 0, 1
)


def _pillow_resize(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Pillow's bilinear filter, which antialiases too."""
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    resized = image.resize((size.width, size.height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


@pytest.mark.parametrize("size", [Size(80, 113), Size(23, 31), Size(40, 17), Size(1, 1), Size(39, 120)])
def test_a_resize_agrees_with_pillows_to_a_grey_level(size: Size) -> None:
    moved = move_pixels(_PIXELS, Placement(size))
    assert moved.dtype == torch.uint8
    assert (moved.int() - _pillow_resize(_PIXELS, size).int()).abs().max() <= 1


@pytest.mark.parametrize("size", [Size(80, 113), Size(23, 31), Size(40, 17), Size(39, 120), Size(7, 11)])
def test_a_bilinear_resize_agrees_with_opencvs_to_a_grey_level(size: Size) -> None:
    moved = move_pixels(_PIXELS, Placement(size, resizing=Resizing(pixel_filter="bilinear")))
    image = np.ascontiguousarray(_PIXELS.permute(1, 2, 0).numpy())
    expected = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    difference = moved.permute(1, 2, 0).numpy().astype(int) - expected.astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("flipped", [False, True])
def test_an_opencv_resize_comes_before_the_flip(flipped: bool) -> None:
    size = Size(57, 83)
    moved = move_pixels(_PIXELS, Placement(size, flipped=flipped, resizing=Resizing(pixel_filter="opencv")))
    image = np.ascontiguousarray(_PIXELS.permute(1, 2, 0).numpy())
    resized = cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_LINEAR)
    expected = torch.from_numpy(np.ascontiguousarray(resized[:, ::-1] if flipped else resized))
    assert torch.equal(moved.permute(1, 2, 0), expected)


def test_only_the_antialiased_filter_looks_at_every_pixel_of_a_picture_that_shrinks() -> None:
    stripes = torch.zeros((3, 40, 60), dtype=torch.uint8)
    stripes[:, :, ::4] = 255  # a quarter is bright; of 15 columns each lies between two dark ones
    size = Size(10, 15)
    bilinear = move_pixels(stripes, Placement(size, resizing=Resizing(pixel_filter="bilinear")))
    assert bilinear.max() == 0
    antialiased = move_pixels(stripes, Placement(size))
    assert antialiased.min() > 30


def test_a_resize_does_not_depend_on_the_memory_layout() -> None:
    placement = Placement(Size(71, 33))
    assert torch.equal(move_pixels(_PIXELS, placement), move_pixels(_PIXELS.contiguous(), placement))


def test_nothing_changes_when_there_is_nothing_to_do() -> None:
    assert torch.equal(move_pixels(_PIXELS, Placement(Size(40, 60))), _PIXELS)


def test_a_crop_is_cut_before_the_flip() -> None:
    crop = Crop(top=5, left=7, size=Size(height=10, width=20))
    moved = move_pixels(_PIXELS, Placement(Size(40, 60), crop, flipped=True))
    assert torch.equal(moved, _PIXELS[:, 5:15, 7:27].flip(2))


@pytest.mark.parametrize("quarter_turns", range(4))
@pytest.mark.parametrize("flipped", [False, True])
def test_a_turn_comes_last(flipped: bool, quarter_turns: int) -> None:
    crop = Crop(top=5, left=7, size=Size(height=10, width=20))
    placement = Placement(Size(40, 60), crop, flipped, quarter_turns=quarter_turns)
    cut = _PIXELS[:, 5:15, 7:27].permute(1, 2, 0).numpy()
    expected = np.rot90(cut[:, ::-1] if flipped else cut, quarter_turns)
    moved = move_pixels(_PIXELS, placement).permute(1, 2, 0)
    assert np.array_equal(moved.numpy(), expected)
    assert placement.placed == Size(*expected.shape[:2])


@pytest.mark.parametrize("quarter_turns", range(4))
@pytest.mark.parametrize("flipped", [False, True])
def test_pixels_and_boxes_move_together(flipped: bool, quarter_turns: int) -> None:
    pixels = torch.zeros((3, 40, 60), dtype=torch.uint8)
    pixels[:, 10:20, 30:50] = 255
    box = np.array([[30, 10, 50, 20]], dtype=np.float32)
    crop = Crop(top=10, left=40, size=Size(50, 70), keeps="shown")
    placement = Placement(Size(80, 120), crop, flipped, quarter_turns=quarter_turns)
    moved = move_pixels(pixels, placement)[0]
    ((x1, y1, x2, y2),) = move_boxes(box, Size(40, 60), placement)[0].astype(int).tolist()
    bright = torch.nonzero(moved > 127)
    assert bright.min(dim=0).values.tolist() == [y1, x1]
    assert (bright.max(dim=0).values + 1).tolist() == [y2, x2]


_CROP = Crop(top=5, left=7, size=Size(height=10, width=20))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(
    ("placement", "is_there"),
    [
        (Placement(Size(40, 60)), False),
        (Placement(Size(80, 113)), True),
        (Placement(Size(23, 31)), True),
        (Placement(Size(80, 113), resizing=Resizing(pixel_filter="bilinear")), True),
        (Placement(Size(80, 113), resizing=Resizing(pixel_filter="opencv")), False),
        (Placement(Size(80, 113), _CROP), False),
        (Placement(Size(80, 113), quarter_turns=1), False),
    ],
)
def test_a_picture_ends_in_the_room_it_has_with_the_same_pixels(
    placement: Placement, is_there: bool, flipped: bool
) -> None:
    placement = replace(placement, flipped=flipped)
    room = torch.full((3 * 80 * 113 + 8,), 7, dtype=torch.uint8)
    expected = move_pixels(_PIXELS, placement)
    moved = move_pixels(_PIXELS, placement, room)
    assert (moved.data_ptr() == room.data_ptr()) == is_there
    settled = settle_pixels(moved, room)
    assert torch.equal(settled, expected)
    assert settled.data_ptr() == room.data_ptr()
    assert settled.permute(1, 2, 0).is_contiguous()
    assert (room[settled.numel() :] == 7).all()
