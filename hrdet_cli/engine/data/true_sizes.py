"""What sizes a picture may be said to have, for EXIF may turn it."""

from dataclasses import dataclass

from PIL import ExifTags, Image

from hrdet_cli.engine.geometry import Size

_FIRST_ON_ITS_SIDE = 5  # of EXIF's orientations


@dataclass(frozen=True, slots=True)
class TrueSizes:
    """Sizes that a picture may be said to have.

    Attributes:
        stored: As its pixels are stored.
        turned: As EXIF's orientation turns it.
    """

    stored: Size
    turned: Size

    @property
    def both(self) -> tuple[Size, Size]:
        """Turned, as people see it, and stored."""
        return self.turned, self.stored


def true_sizes_of(image: Image.Image) -> TrueSizes:
    """Those of a picture that Pillow has opened; its pixels are not read."""
    stored = Size(image.height, image.width)
    is_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_ON_ITS_SIDE
    return TrueSizes(stored, Size(stored.width, stored.height) if is_on_its_side else stored)
