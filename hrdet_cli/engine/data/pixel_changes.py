"""What is done to the colours and the sharpness of a training picture: nothing moves.

Each change draws from a generator that is a function of the picture's key, and from nothing else. Pixels stay
uint8. Colours and blur are Pillow's, JPEG is libjpeg-turbo's: both work on the bytes as decoders give them.
torchvision's functions give the same kinds of pictures in nearly twice the time on a CPU
(``tests/benchmarks/pixel_changes.py``), their noise draws from torch's global generator, and importing them
imports torch's compiler.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

Picture = NDArray[np.uint8]
"""``(H, W, 3)`` RGB."""

_HUES = 256  # of Pillow's HSV


class PixelChange(Protocol):
    """A change that is made to some pictures."""

    @property
    def probability(self) -> float:
        """Of making it; in [0, 1]."""

    def change(self, picture: Picture, generator: np.random.Generator) -> tuple[Picture, str]:
        """Draw how much, change a picture, and say in words what was drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourJitter:
    """Brightness, contrast, saturation and hue, in an order that is drawn, as torchvision's ``ColorJitter``.

    Attributes:
        probability: In [0, 1].
        brightness: The factor is drawn uniformly between 1 less and 1 more than this; 0 changes nothing.
        contrast: Likewise; the blend is with the mean grey.
        saturation: Likewise; the blend is with the picture in grey.
        hue: The hue is moved by as much of its circle at most, either way; in [0, 0.5].
    """

    probability: float
    brightness: float
    contrast: float
    saturation: float
    hue: float

    def change(self, picture: Picture, generator: np.random.Generator) -> tuple[Picture, str]:
        """See ``PixelChange``."""
        enhancers: dict[str, tuple[float, Callable[[Image.Image, float], Image.Image]]] = {
            "brightness": (self.brightness, lambda image, by: ImageEnhance.Brightness(image).enhance(by)),
            "contrast": (self.contrast, lambda image, by: ImageEnhance.Contrast(image).enhance(by)),
            "saturation": (self.saturation, lambda image, by: ImageEnhance.Color(image).enhance(by)),
            "hue": (self.hue, _move_hue),
        }
        image, words = Image.fromarray(picture), []
        for name in generator.permutation(list(enhancers)).tolist():
            most, enhance = enhancers[name]
            if not most:
                continue
            middle = 0.0 if name == "hue" else 1.0
            drawn = generator.uniform(max(middle - most, -0.5 if name == "hue" else 0.0), middle + most)
            image = enhance(image, drawn)
            words.append(f"{name} {drawn:+.2f}" if name == "hue" else f"{name} {drawn:.2f}")
        return np.asarray(image), ", ".join(words)


def _move_hue(image: Image.Image, by: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    moved = (np.asarray(hue).astype(np.int64) + round(by * _HUES)) % _HUES
    hue = Image.fromarray(moved.astype(np.uint8))
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """Gaussian blur, of Pillow's three box filters that stand for one.

    Attributes:
        probability: In [0, 1].
        sigma: Least and largest standard deviation, in pixels of the canvas; drawn uniformly.
    """

    probability: float
    sigma: tuple[float, float]

    def change(self, picture: Picture, generator: np.random.Generator) -> tuple[Picture, str]:
        """See ``PixelChange``."""
        sigma = generator.uniform(*self.sigma)
        blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma))
        return np.asarray(blurred), f"blur {sigma:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Gaussian noise, drawn for each pixel and colour.

    Attributes:
        probability: In [0, 1].
        deviation: Least and largest standard deviation, in steps of 0 to 255; drawn uniformly.
    """

    probability: float
    deviation: tuple[float, float]

    def change(self, picture: Picture, generator: np.random.Generator) -> tuple[Picture, str]:
        """See ``PixelChange``."""
        deviation = generator.uniform(*self.deviation)
        noisy = generator.standard_normal(picture.shape, dtype=np.float32)
        noisy *= np.float32(deviation)
        noisy += picture
        np.rint(noisy, out=noisy)
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8), f"noise {deviation:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JpegArtefacts:
    """What writing a JPEG, with halved chroma, and reading it again leaves of a picture.

    Attributes:
        probability: In [0, 1].
        quality: Least and largest, of 1 to 100; drawn uniformly as a whole number.
    """

    probability: float
    quality: tuple[int, int]

    def change(self, picture: Picture, generator: np.random.Generator) -> tuple[Picture, str]:
        """See ``PixelChange``."""
        quality = int(generator.integers(*self.quality, endpoint=True))
        written = simplejpeg.encode_jpeg(
            np.ascontiguousarray(picture), quality=quality, colorspace="RGB", colorsubsampling="420"
        )
        return simplejpeg.decode_jpeg(written, colorspace="RGB"), f"JPEG {quality}"


def change_pixels(
    pixels: Tensor, changes: Sequence[PixelChange], generator: np.random.Generator
) -> tuple[Tensor, tuple[str, ...]]:
    """Make each change or not, one after the other.

    Args:
        pixels: ``(3, H, W)`` uint8 RGB, as the picture was placed.
        changes: Drawn in this order.
        generator: The only source of chance.

    Returns:
        pixels: ``(3, H, W)`` uint8.
        words: What was done, such as ``blur 1.3``.
    """
    words: list[str] = []
    picture: Picture | None = None
    for change in changes:
        if generator.random() < change.probability:
            if picture is None:
                picture = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
            picture, said = change.change(picture, generator)
            words.append(said)
    if picture is None:
        return pixels, ()
    writeable = picture if picture.flags.writeable else picture.copy()  # Pillow's are not
    return torch.from_numpy(writeable).permute(2, 0, 1), tuple(words)
