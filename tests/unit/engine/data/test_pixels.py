import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.pixels import move_pixels
from hrdet_cli.engine.data.transforms import Crop, Placement
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


def test_a_resize_does_not_depend_on_the_memory_layout() -> None:
    placement = Placement(Size(71, 33))
    assert torch.equal(move_pixels(_PIXELS, placement), move_pixels(_PIXELS.contiguous(), placement))


def test_nothing_changes_when_there_is_nothing_to_do() -> None:
    assert torch.equal(move_pixels(_PIXELS, Placement(Size(40, 60))), _PIXELS)


def test_a_crop_is_cut_before_the_flip() -> None:
    crop = Crop(top=5, left=7, size=Size(height=10, width=20))
    moved = move_pixels(_PIXELS, Placement(Size(40, 60), crop, flipped=True))
    assert torch.equal(moved, _PIXELS[:, 5:15, 7:27].flip(2))


def test_pixels_and_boxes_move_together() -> None:
    from hrdet_cli.engine.data.transforms import move_boxes

    pixels = torch.zeros((3, 40, 60), dtype=torch.uint8)
    pixels[:, 10:20, 30:50] = 255
    box = np.array([[30, 10, 50, 20]], dtype=np.float32)
    placement = Placement(Size(80, 120), Crop(top=10, left=40, size=Size(50, 70)), flipped=True)
    moved = move_pixels(pixels, placement)[0]
    ((x1, y1, x2, y2),) = move_boxes(box, Size(40, 60), placement)[0].astype(int).tolist()
    bright = torch.nonzero(moved > 127)
    assert bright.min(dim=0).values.tolist() == [y1, x1]
    assert (bright.max(dim=0).values + 1).tolist() == [y2, x2]
