"""Opens every picture of a data set to find those that training could not use."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from PIL import Image

from hrdet_cli.engine.data.checking.looking import Looked, look_at_all, without_name
from hrdet_cli.engine.data.decoding import WrongSizeError, decode_picture
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS, unlimited_pillow
from hrdet_cli.engine.data.true_sizes import TrueSizes, true_sizes_of
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

_DIGEST_BYTES = 12  # that two of a million different files have one digest has a chance of 10^-17


@dataclass(frozen=True, slots=True)
class NamedSize:
    """A picture and the size its annotations give; None where they give none."""

    name: str
    size: Size | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say of a picture.

    Attributes:
        position: Of the picture in the sequence that was opened.
        fault: Why it cannot be read; None where it can.
        true_sizes: Its sizes, where it can be read and its annotations give none or another.
        damage: What is damaged in a picture that can be read all the same.
        digest: Of the file's bytes, the same for the same content; None where they cannot be read.
    """

    position: int
    fault: str | None = None
    true_sizes: TrueSizes | None = None
    damage: str | None = None
    digest: bytes | None = field(default=None, compare=False)


def open_all(
    images: ImageSource,
    pictures: Sequence[NamedSize],
    *,
    num_workers: int,
    max_pixels: int = MAX_PICTURE_PIXELS,
) -> Iterator[Looked[Finding]]:
    """Decode every picture as training does; each has a finding.

    Args:
        images: Where they are.
        pictures: Their names and sizes.
        num_workers: As of `look_at_all`, which also tells of errors.
        max_pixels: Larger pictures cannot be used.
    """
    return look_at_all(
        len(pictures), partial(_look_at, images, pictures, max_pixels), num_workers=num_workers
    )


def _look_at(images: ImageSource, pictures: Sequence[NamedSize], max_pixels: int, position: int) -> Finding:
    picture, digest = pictures[position], None
    try:
        data = images.read(picture.name)
        digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()
        finding = _open(data, picture, position, max_pixels)
    except DataError as error:
        finding = Finding(position, fault=without_name(error, picture.name))
    return replace(finding, digest=digest)


def _open(data: bytes, picture: NamedSize, position: int, max_pixels: int) -> Finding:
    """Decode a picture.

    Raises:
        DataError: It cannot be read, whatever its size.
    """
    has_size = picture.size is not None
    decode = partial(decode_picture, data, name=picture.name, max_pixels=max_pixels)
    try:
        damage = decode(expected=picture.size).damage
    except WrongSizeError:
        has_size = False
        damage = decode(expected=None).damage
    return Finding(position, true_sizes=None if has_size else _true_sizes(data), damage=damage)


def _true_sizes(data: bytes) -> TrueSizes:
    with unlimited_pillow(), Image.open(io.BytesIO(data)) as image:
        return true_sizes_of(image)
