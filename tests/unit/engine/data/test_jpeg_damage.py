"""Damage that decoders pass over is told, and what is no damage is not."""

import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.decoding import decode_picture
from hrdet_cli.engine.geometry import Size

SIZE = Size(height=96, width=128)
PREMATURE = "Corrupt JPEG data: premature end of data segment"


def scene() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((SIZE.width, SIZE.height), Image.Resampling.BICUBIC))


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene()).convert(mode).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def without_middle(data: bytes, num_bytes: int = 300) -> bytes:
    """The file without some bytes of its pixels, as after a bad copy; its end is there."""
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    return data[:middle] + data[middle + num_bytes :]


def damage_of(data: bytes) -> str | None:
    return decode_picture(data, expected=SIZE, name="x").damage


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("has_exif", [False, True])
def test_missing_bytes_of_pixels_are_told_whatever_the_jpeg(
    mode: str, progressive: bool, has_exif: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    options = {"progressive": progressive, "exif": exif if has_exif else b""}
    whole = jpeg(mode, **options)
    assert damage_of(whole) is None
    damage = damage_of(without_middle(whole))
    assert damage is not None
    assert damage.startswith("Corrupt JPEG data: ")


def test_damage_is_told_of_pictures_without_annotations_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for data in (jpeg(), jpeg(exif=exif)):
        assert decode_picture(data, expected=None, name="x").damage is None
        damage = decode_picture(without_middle(data), expected=None, name="x").damage
        assert damage in ("Corrupt JPEG data: bad Huffman code", PREMATURE)


def test_a_damaged_picture_is_decoded_as_pillow_does() -> None:
    data = without_middle(jpeg())
    pixels = decode_picture(data, expected=SIZE, name="x").pixels
    by_pillow = np.asarray(Image.open(io.BytesIO(data)))
    assert torch.equal(pixels.permute(1, 2, 0), torch.from_numpy(by_pillow.copy()))


def insert(data: bytes, position: int, what: bytes) -> bytes:
    return data[:position] + what + data[position:]


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda data: insert(data, data.index(b"\xff\xdb"), b"\0\1\2"),
        lambda data: insert(data, data.index(b"\xff\xda"), b"stray"),
        lambda data: data.replace(b"JFIF\x00\x01", b"JFIF\x00\x09"),
        lambda data: insert(data, len(data) - 2, bytes(7)),
        lambda data: data + b"\0\0trailer",
    ],
    ids=["between tables", "before the pixels", "revision", "padding", "behind the end"],
)
def test_what_says_nothing_about_the_pixels_is_no_damage_and_hides_none(spoilt: Any) -> None:
    whole = jpeg()
    assert damage_of(spoilt(whole)) is None
    damaged = damage_of(spoilt(without_middle(whole)))
    assert damaged is not None
    assert damaged.startswith("Corrupt JPEG data: ")


def test_bytes_behind_the_last_pixel_that_are_not_zero_may_be_pixels_and_are_told() -> None:
    data = jpeg()
    damage = damage_of(insert(data, len(data) - 2, b"\1\2\3\4\5\6\7\1\2\3"))
    assert damage is not None  # libjpeg does not count those that it has taken in with the last pixels
    assert re.fullmatch(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9", damage)


def test_other_formats_have_no_damage_to_tell() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene()).save(buffer, "PNG")
    assert damage_of(buffer.getvalue()) is None
