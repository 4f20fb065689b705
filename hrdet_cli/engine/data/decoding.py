"""From the bytes of a picture to RGB pixels, whatever the format.

Pillow says what a picture looks like. What it would decode in the ordinary way, from a JPEG without any
fault, simplejpeg decodes to the same pixels in less time: both use libjpeg-turbo with its exact transform and
its smooth chroma, but Pillow reads in pieces, goes through four bytes a pixel and copies twice. Tests compare
the two over every chroma sampling; ``tests/benchmarks/decoders.py`` compares others.
"""

import io
import zlib
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hrdet_cli.engine.data.jpeg_damage import damage_of_jpeg
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS, unlimited_pillow
from hrdet_cli.engine.data.png_chunks import PIXELS, chunks_of
from hrdet_cli.engine.data.true_sizes import ON_THEIR_SIDE
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file

_JPEG_START = b"\xff\xd8\xff"
_EXIF_MARKER = b"\xff\xe1"  # of APP1, EXIF's or XMP's; pixels never have these bytes next to each other
_UPRIGHT, _IN_PLACE = 1, (2, 3, 4)  # orientations
_PLAIN_COLOURS = ("YCbCr", "Gray")


class _UndecodableError(Exception):
    """Why a picture that Pillow decodes is refused all the same."""


class _TooLargeError(Exception):
    """A picture has more pixels than are decoded."""


class WrongSizeError(DataError):
    """A picture is sound, but not of the size that its annotations give."""


class DecodedPicture(NamedTuple):
    """A picture's pixels, and how far they can be trusted.

    Attributes:
        pixels: ``(3, H, W)`` uint8 RGB.
        damage: What is damaged in a JPEG that was decoded all the same, in libjpeg's words; None for others.
    """

    pixels: Tensor
    damage: str | None


def decode_rgb(
    data: bytes, *, expected: Size | None, name: str, max_pixels: int = MAX_PICTURE_PIXELS
) -> Tensor:
    """The pixels that `decode_picture` gives, whatever damage a JPEG may have."""
    return decode_picture(data, expected=expected, name=name, max_pixels=max_pixels).pixels


def decode_picture(
    data: bytes, *, expected: Size | None, name: str, max_pixels: int = MAX_PICTURE_PIXELS
) -> DecodedPicture:
    """Decode a picture.

    Alpha and palette transparency are dropped, not blended, as COCO's tools do; 16-bit grey keeps its high
    byte; of an animation the first frame counts.

    A picture is turned and mirrored as EXIF says, which is how people see it, unless its annotations say
    otherwise: boxes were drawn either on the stored pixels or on the turned ones, and where an orientation
    exchanges height and width, the size that annotations give says on which.

    Args:
        data: The encoded file.
        expected: Size of the picture according to its annotations; None for a picture without any.
        name: What errors call the picture.
        max_pixels: Larger pictures are refused before they are decoded. A file of a few kilobytes can claim
            billions of pixels.

    Returns:
        The picture, of the expected size where there is one.  A JPEG whose coded pixels are damaged is
        decoded as far as it goes, as every decoder does it, and its damage told.

    Raises:
        WrongSizeError: The picture is not of the expected size.
        DataError: The picture is damaged, of an unknown kind or too large.
    """
    pixels, damage = _decode_plain_jpeg(data, expected, max_pixels), None
    if pixels is None:
        pixels = _decode_with_pillow(data, expected, name, max_pixels)
        damage = damage_of_jpeg(data) if data.startswith(_JPEG_START) else None
    return DecodedPicture(torch.from_numpy(pixels).permute(2, 0, 1), damage)


def decode_pillow_picture(picture: Image.Image, *, name: str) -> Tensor:
    """The pixels of a picture that somebody opened or made with Pillow, as its file would be decoded.

    Args:
        picture: Of any mode; turned and mirrored as its EXIF says, where it has some.
        name: What errors call the picture.

    Returns:
        ``(3, H, W)`` uint8 RGB.

    Raises:
        DataError: Its pixels cannot be read, or have no known range.
    """
    try:
        pixels = _rgb_of(ImageOps.exif_transpose(picture))
    except Exception as error:  # a picture is decoded when its pixels are first asked for
        reason = _why_undecodable(error, b"", is_annotated=False)
        raise DataError(f"picture {name} cannot be decoded: {reason}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _decode_plain_jpeg(data: bytes, expected: Size | None, max_pixels: int) -> NDArray[np.uint8] | None:
    """Pixels as ``(H, W, 3)`` of a JPEG in ordinary colours, of the expected size, without any fault.

    None for everything else, which is Pillow's: it knows what CMYK means and whether a fault matters (bytes
    between segments do not, a missing end does), and says what is wrong.
    """
    if not data.startswith(_JPEG_START):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in _PLAIN_COLOURS or height * width > max_pixels:
            return None
        stored = Size(height, width)
        orientation = _orientation_of(data, may_be_broken=stored == expected)
        turned = Size(width, height) if orientation in ON_THEIR_SIDE else stored
        if expected == stored != turned:
            orientation = _UPRIGHT
        elif expected not in (None, turned):
            return None
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:
        return None
    return _make_upright(pixels, orientation)


def _orientation_of(jpeg: bytes, *, may_be_broken: bool) -> int:
    """The orientation that EXIF or XMP gives, of 1 to 8; upright where it gives none.

    Raises:
        ValueError: It cannot be read, and may not be broken.
    """
    if _EXIF_MARKER not in jpeg:
        return _UPRIGHT
    try:
        with unlimited_pillow():
            return int(Image.open(io.BytesIO(jpeg)).getexif().get(ExifTags.Base.Orientation, _UPRIGHT))
    except Exception as error:  # as in `_decode_with_pillow`, which will say what is wrong
        if may_be_broken:
            return _UPRIGHT
        raise ValueError("its EXIF cannot be read") from error


def _make_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror ``(H, W, 3)`` so that the scene stands as Exif 2.3, table 6 says."""
    match orientation:
        case 2:
            turned = pixels[:, ::-1]
        case 3:
            turned = pixels[::-1, ::-1]
        case 4:
            turned = pixels[::-1]
        case 5:
            turned = pixels.transpose(1, 0, 2)
        case 6:
            turned = np.rot90(pixels, k=-1)
        case 7:
            turned = pixels.transpose(1, 0, 2)[::-1, ::-1]
        case 8:
            turned = np.rot90(pixels)
        case _:
            return pixels
    return np.ascontiguousarray(turned)


def _decode_with_pillow(data: bytes, expected: Size | None, name: str, max_pixels: int) -> NDArray[np.uint8]:
    """Pixels as ``(H, W, 3)`` of any picture."""
    try:
        with unlimited_pillow():
            image: Image.Image = Image.open(io.BytesIO(data))
        stored = Size(image.height, image.width)
        if stored.num_pixels > max_pixels:
            raise _TooLargeError
        if stored != expected:
            image = ImageOps.exif_transpose(image)
        if expected in (None, Size(image.height, image.width)):
            _refuse_damaged_png(data)
            return _make_upright(_rgb_of(image), _orientation_in_place(image))
    except _TooLargeError as error:
        raise DataError(
            f"picture {name} has more than the {max_pixels:,} pixels that hrdet decodes. Make it smaller, or "
            f"look at it in tiles: --set 'data.tiles={{max_picture_pixels: {stored.num_pixels}}}'"
        ) from error
    except Exception as error:  # decoders meet hostile bytes: there is no list of what they raise
        reason = _why_undecodable(error, data, is_annotated=expected is not None)
        raise DataError(f"picture {name} cannot be decoded: {reason}") from error
    remedy = "Correct the size and boxes in the annotation file, or the picture."
    if expected == Size(height=stored.width, width=stored.height):
        remedy = "They are exchanged: hrdet check-data tells whether in all entries, and mends that."
    raise WrongSizeError(
        f"picture {name} is {stored} but its annotations say {expected}, width x height. {remedy}"
    )


def _orientation_in_place(decoded: Image.Image) -> int:
    """The orientation that is left to apply to a picture of the right size, which keeps its size by it."""
    try:
        orientation = decoded.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # pixels are all that is needed; as above there is no list of what is raised
        return _UPRIGHT
    is_square = decoded.width == decoded.height
    return orientation if orientation in _IN_PLACE or is_square else _UPRIGHT


def _why_undecodable(error: Exception, data: bytes, *, is_annotated: bool) -> str:
    """What is wrong with a picture, and what to do.

    Only the words of Pillow's own errors are for people; others are those of Python, met on the way.
    """
    kind = kind_of_file(data[:NUM_BYTES_NEEDED]) if isinstance(error, UnidentifiedImageError) else None
    if kind is not None and kind.remedy:
        return f"it is {kind.name}. {kind.remedy}"
    if isinstance(error, UnidentifiedImageError):
        reason = "its format is not known" if kind is None else f"it is {kind.name}"
    elif isinstance(error, OSError | SyntaxError | EOFError | _UndecodableError) and str(error):
        reason = str(error)
    else:
        reason = "it is damaged"
    return f"{reason}." + (" Replace it or remove it from the annotations." if is_annotated else "")


def _refuse_damaged_png(data: bytes) -> None:
    """Check what Pillow does not: the checksums of a PNG's pixels, as libpng and the standard (5.3) demand.

    Raises:
        _UndecodableError: One is wrong.
    """
    for kind, start, end in chunks_of(io.BytesIO(data)):
        checksum = int.from_bytes(data[end : end + 4])
        if kind == PIXELS and zlib.crc32(data[start:end], zlib.crc32(kind)) != checksum:
            raise _UndecodableError("a checksum of its pixels is wrong")


def _rgb_of(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels as ``(H, W, 3)``."""
    if image.mode in ("I", "F"):
        raise _UndecodableError(
            f"pixels of mode {image.mode} have no known range; convert the picture to 8 or 16 bits"
        )
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette with transparency has no other way to RGB
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
