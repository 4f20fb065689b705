"""What sizes a picture may be said to have, for EXIF may turn it."""

import itertools
from dataclasses import dataclass
from typing import IO

from PIL import ExifTags, Image, PngImagePlugin

from hrdet_cli.engine.data.png_chunks import PIXELS, chunks_of
from hrdet_cli.engine.geometry import Size

ON_THEIR_SIDE = (5, 6, 7, 8)
"""Of EXIF's orientations; there are eight, and other numbers mean none."""

_KINDS_WITH_ORIENTATION = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # of a PNG's chunks


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
    """Those of a picture that Pillow has opened; decodes none but a PNG with EXIF behind its pixels."""
    stored = Size(image.height, image.width)
    is_on_its_side = _exif_of(image).get(ExifTags.Base.Orientation) in ON_THEIR_SIDE
    return TrueSizes(stored, Size(stored.width, stored.height) if is_on_its_side else stored)


def _exif_of(image: Image.Image) -> Image.Exif:
    """A PNG's without decoding it, as Pillow does where there is none yet: it may come behind the pixels."""
    if isinstance(image, PngImagePlugin.PngImageFile) and image.fp is not None:
        place = image.fp.tell()
        is_known = not _has_orientation_behind_pixels(image.fp)
        image.fp.seek(place)
        if is_known:
            return Image.Image.getexif(image)
    return image.getexif()


def _has_orientation_behind_pixels(png: IO[bytes]) -> bool:
    """Whether a chunk that may tell one follows the first with pixels."""
    behind = itertools.dropwhile(lambda chunk: chunk.kind != PIXELS, chunks_of(png))
    return any(chunk.kind in _KINDS_WITH_ORIENTATION for chunk in behind)
