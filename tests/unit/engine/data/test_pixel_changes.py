"""What is done to colours and sharpness, against torchvision's functions."""

import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.pixel_changes import (
    Blur,
    ColourJitter,
    JpegArtefacts,
    Noise,
    PixelChange,
    change_pixels,
)
from hrdet_cli.engine.data.synthetic_scene import draw_scene

_PICTURE = draw_scene(np.random.default_rng(3), height=96, width=128, num_objects=5, has_crowd=False).pixels
_PIXELS = torch.from_numpy(_PICTURE).permute(2, 0, 1)


def jitter(**most: float) -> ColourJitter:
    nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    return ColourJitter(probability=1, **{**nothing, **most})


ALL: Sequence[PixelChange] = (
    jitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    Blur(probability=1, sigma=(0.5, 2)),
    Noise(probability=1, deviation=(3, 9)),
    JpegArtefacts(probability=1, quality=(30, 90)),
)


def changed(change: PixelChange, key: int = 1) -> tuple[NDArray[np.float64], float]:
    """A picture after a change, and the number that was drawn for it."""
    pixels, (words,) = change_pixels(_PIXELS, [change], generator_for(key))
    assert pixels.dtype == torch.uint8
    return pixels.numpy().astype(np.float64), float(words.rpartition(" ")[2])


def levels_between(found: NDArray[np.float64], expected: Tensor) -> float:
    return float(np.abs(found - expected.numpy()).mean())


@pytest.mark.parametrize("key", range(4))
def test_colours_are_changed_as_by_torchvision(key: int) -> None:
    for name, adjust in (
        ("brightness", F.adjust_brightness),
        ("contrast", F.adjust_contrast),
        ("saturation", F.adjust_saturation),
    ):
        found, factor = changed(jitter(**{name: 0.4}), key)
        assert 0.6 <= factor <= 1.4
        # The words round the factor: by 0.005 of at most 255.
        assert levels_between(found, adjust(_PIXELS, factor)) < 1.3
    found, shift = changed(jitter(hue=0.1), key)
    assert -0.1 <= shift <= 0.1
    assert levels_between(found, F.adjust_hue(_PIXELS, shift)) < 4  # Pillow's hue has 256 steps


@pytest.mark.parametrize("key", range(3))
def test_a_blur_is_gaussian(key: int) -> None:
    found, sigma = changed(Blur(probability=1, sigma=(0.5, 3)), key)
    expected = F.gaussian_blur(_PIXELS, [25, 25], [sigma, sigma])
    inner = (slice(None), slice(12, -12), slice(12, -12))  # the borders are made up otherwise
    assert levels_between(found[inner], expected[inner]) < 1.5
    assert levels_between(found[inner], _PIXELS[inner]) > 2 * levels_between(found[inner], expected[inner])


def test_noise_has_the_deviation_that_is_drawn() -> None:
    grey = torch.full((3, 200, 200), 127, dtype=torch.uint8)
    pixels, (words,) = change_pixels(grey, [Noise(probability=1, deviation=(5, 15))], generator_for(2))
    noise = pixels.numpy().astype(np.float64) - 127
    drawn = float(words.removeprefix("noise "))
    assert 5 <= drawn <= 15
    assert noise.std() == pytest.approx(drawn, rel=0.03)
    assert abs(noise.mean()) < 0.2
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03


def test_artefacts_are_those_of_a_jpeg_of_the_drawn_quality() -> None:
    found, quality = changed(JpegArtefacts(probability=1, quality=(30, 60)))
    assert 30 <= quality <= 60
    file = io.BytesIO()
    Image.fromarray(_PICTURE).save(file, "JPEG", quality=int(quality), subsampling="4:2:0")
    written = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
    assert levels_between(found, written) < 1.5  # another transform than Pillow takes
    assert levels_between(found, _PIXELS) > 2 * levels_between(found, written)


def test_changes_are_a_function_of_the_key_and_leave_their_input_alone() -> None:
    before = _PIXELS.clone()
    once, words = change_pixels(_PIXELS, ALL, generator_for(5))
    again, same_words = change_pixels(_PIXELS.contiguous(), ALL, generator_for(5))
    assert torch.equal(once, again)
    assert words == same_words
    assert [word.split()[0] for word in words[1:]] == ["blur", "noise", "JPEG"]
    assert not torch.equal(once, change_pixels(_PIXELS, ALL, generator_for(6))[0])
    assert torch.equal(_PIXELS, before)


def test_a_change_comes_as_often_as_it_is_probable() -> None:
    small = _PIXELS[:, :8, :8]
    rare = Noise(probability=0.25, deviation=(9, 9))
    said = [change_pixels(small, [rare], generator_for(key))[1] for key in range(2000)]
    assert 0.22 < sum(map(len, said)) / 2000 < 0.28
    never = Noise(probability=0, deviation=(9, 9))
    pixels, words = change_pixels(small, [never], generator_for(0))
    assert words == ()
    assert pixels is small
