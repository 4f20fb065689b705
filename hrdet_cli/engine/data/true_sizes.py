"""What sizes a picture may be said to have, for EXIF may turn it."""

import struct
from dataclasses import dataclass
from typing import IO

from PIL import ExifTags, Image, PngImagePlugin

from hrdet_cli.engine.geometry import Size

ON_THEIR_SIDE = (5, 6, 7, 8)
"""Of EXIF's orientations; there are eight, and other numbers mean none."""

_PNG_CHUNK = struct.Struct(">I4s")  # length of the content, kind
_NUM_BYTES_BESIDE = 4  # its checksum
_AFTER_SIGNATURE = 8
_PIXELS, _KINDS_WITH_ORIENTATION = b"IDAT", (b"eXIf", b"iTXt", b"tEXt", b"zTXt")


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
    """Whether a chunk that may tell one follows the first with pixels; goes from chunk to chunk."""
    position, has_pixels = _AFTER_SIGNATURE, False
    while True:
        png.seek(position)
        header = png.read(_PNG_CHUNK.size)
        if len(header) < _PNG_CHUNK.size:
            return False
        length, kind = _PNG_CHUNK.unpack(header)
        if has_pixels and kind in _KINDS_WITH_ORIENTATION:
            return True
        has_pixels |= kind == _PIXELS
        position += _PNG_CHUNK.size + length + _NUM_BYTES_BESIDE
