"""From spec to what is done to the colours and the sharpness of training pictures."""

from collections.abc import Iterator

from hrdet_cli.engine.data.pixel_changes import Blur, ColourJitter, JpegArtefacts, Noise, PixelChange
from hrdet_cli.specs.extras import ExtrasSpec


def build_pixel_changes(extras: ExtrasSpec) -> tuple[PixelChange, ...]:
    """In the order in which they come to a picture: light, lens, sensor, file."""
    return tuple(_changes(extras))


def _changes(extras: ExtrasSpec) -> Iterator[PixelChange]:
    if (colour := extras.colour) is not None:
        yield ColourJitter(
            probability=colour.probability,
            brightness=colour.brightness,
            contrast=colour.contrast,
            saturation=colour.saturation,
            hue=colour.hue,
        )
    if (blur := extras.blur) is not None:
        yield Blur(probability=blur.probability, sigma=blur.sigma_pixels)
    if (noise := extras.noise) is not None:
        yield Noise(probability=noise.probability, deviation=noise.deviation)
    if (jpeg := extras.jpeg) is not None:
        yield JpegArtefacts(probability=jpeg.probability, quality=jpeg.quality)
