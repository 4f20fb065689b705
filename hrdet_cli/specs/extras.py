"""What may be done to training pictures besides placing them."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from hrdet_cli.specs.base import Fraction, Problem, Spec

_Amount = Annotated[float, Field(ge=0, le=1)]
_Sigma = Annotated[float, Field(gt=0, le=100)]
_Deviation = Annotated[float, Field(ge=0, le=255)]
_Quality = Annotated[int, Field(ge=1, le=100)]


class ColourSpec(Spec):
    """Brightness, contrast, saturation and hue, in a drawn order."""

    probability: Fraction = 0.5
    """Chance that a picture's colours are changed."""
    brightness: _Amount = 0.4
    """A factor is drawn from 1 less to 1 more than this; 0 changes nothing."""
    contrast: _Amount = 0.4
    """Likewise; 0.6 is nearer to the picture's mean grey."""
    saturation: _Amount = 0.4
    """Likewise; 0.6 is nearer to the picture in grey."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """How far round its circle the hue is moved at most, either way; 0.5 is any hue."""


class BlurSpec(Spec):
    """Gaussian blur."""

    probability: Fraction = 0.1
    """Chance that a picture is blurred."""
    sigma_pixels: tuple[_Sigma, _Sigma] = (0.3, 2.0)
    """Least and largest standard deviation, in pixels of the canvas."""

    def problems(self) -> Iterator[Problem]:
        """A range that ends before it begins."""
        yield from _order_problems("sigma_pixels", self.sigma_pixels)


class NoiseSpec(Spec):
    """Gaussian noise on each pixel and colour."""

    probability: Fraction = 0.1
    """Chance that a picture gets noise."""
    deviation: tuple[_Deviation, _Deviation] = (2.0, 12.0)
    """Least and largest standard deviation, of colours from 0 to 255."""

    def problems(self) -> Iterator[Problem]:
        """A range that ends before it begins."""
        yield from _order_problems("deviation", self.deviation)


class JpegSpec(Spec):
    """Artefacts of a JPEG."""

    probability: Fraction = 0.1
    """Chance that a picture is written as a JPEG and read again."""
    quality: tuple[_Quality, _Quality] = (30, 90)
    """Least and largest quality, from 1 to 100."""

    def problems(self) -> Iterator[Problem]:
        """A range that ends before it begins."""
        yield from _order_problems("quality", self.quality)


class CopyPasteSpec(Spec):
    """Objects of another picture, by their masks."""

    probability: Fraction = 0.5
    """Chance that a picture gets some of another's objects."""


class ExtrasSpec(Spec):
    """What any kind of augmentation may do too; nothing of it by default."""

    vertical_flip_probability: Fraction = 0.0
    """Chance that top and bottom are exchanged."""
    turn_probability: Fraction = 0.0
    """Chance of a turn by 90, 180 or 270 degrees, each as often, for pictures without an up."""
    colour: ColourSpec | None = None
    """Jitter of colours; `{}` takes its defaults, null does nothing."""
    blur: BlurSpec | None = None
    """Blur; `{}` takes its defaults, null does nothing."""
    noise: NoiseSpec | None = None
    """Noise; `{}` takes its defaults, null does nothing."""
    jpeg: JpegSpec | None = None
    """Artefacts of a JPEG; `{}` takes its defaults, null does nothing."""
    copy_paste: CopyPasteSpec | None = None
    """Objects of other pictures, which need masks; `{}` takes its defaults, null does nothing."""

    @property
    def paste_probability(self) -> float:
        """Chance that a picture gets objects of another."""
        return 0.0 if self.copy_paste is None else self.copy_paste.probability


def _order_problems(key: str, ends: tuple[float, float]) -> Iterator[Problem]:
    least, largest = ends
    if least > largest:
        yield key, f"is (least, largest), so write [{largest:g}, {least:g}]"
