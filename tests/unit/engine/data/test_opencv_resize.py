import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hrdet_cli.engine.data.opencv_resize import resize_like_opencv
from hrdet_cli.engine.geometry import Size

_EDGES = st.integers(1, 70)


@settings(deadline=None)
@given(old=st.builds(Size, _EDGES, _EDGES), new=st.builds(Size, _EDGES, _EDGES), seed=st.integers(0, 999))
def test_every_byte_is_that_of_opencv(old: Size, new: Size, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (old.height, old.width, 3), dtype=np.uint8)
    expected = cv2.resize(image, (new.width, new.height), interpolation=cv2.INTER_LINEAR)
    resized = resize_like_opencv(torch.from_numpy(image).permute(2, 0, 1), new)
    assert resized.dtype == torch.uint8
    assert torch.equal(resized.permute(1, 2, 0), torch.from_numpy(expected))


@pytest.mark.parametrize("size", [Size(20, 30), Size(160, 240), Size(67, 99)])
def test_one_colour_stays_that_colour_or_is_a_level_darker(size: Size) -> None:
    # Shifts to the right lose what is below a quarter of a level, twice: OpenCV does the same, and no more.
    for level in (0, 1, 127, 254, 255):
        picture = torch.full((3, 80, 120), level, dtype=torch.uint8)
        resized = resize_like_opencv(picture, size)
        assert resized.max() == level
        assert resized.min() >= max(0, level - 1)


def test_a_picture_in_another_memory_layout_gives_the_same() -> None:
    picture = torch.randint(
        0, 256, (3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    rows_of_triples = picture.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    size = Size(61, 33)
    assert torch.equal(resize_like_opencv(picture, size), resize_like_opencv(rows_of_triples, size))
