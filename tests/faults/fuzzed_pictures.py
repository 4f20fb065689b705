"""Broken picture files: read from a folder and decoded.

The oracle: whatever is accepted has the size that was expected; it is what Pillow makes of the same bytes;
where a file was cut, or a PNG's own checksums say that it is damaged, it is the whole picture all the same;
and where libjpeg-turbo decodes a JPEG with a warning of corrupt data, that is told.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.decoding import decode_picture
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.geometry import Size
from tests.faults.fuzz import Case
from tests.faults.mutation import damage

_HEIGHT, _WIDTH = 40, 56
_FORMATS = (
    *(("jpeg", mode) for mode in ("RGB", "L", "CMYK")),
    *(("png", mode) for mode in ("RGB", "RGBA", "P", "L", "1", "I;16")),
    *(("gif", "P"), ("bmp", "RGB"), ("webp", "RGB"), ("tiff", "RGB"), ("ppm", "RGB"), ("ico", "RGBA")),
    *(("tga", "RGB"), ("jpeg2000", "RGB"), ("sgi", "RGB"), ("pcx", "RGB"), ("dds", "RGB"), ("eps", "RGB")),
    *(
        ("xbm", "1"),
        ("msp", "1"),
        ("pdf", "RGB"),
        ("icns", "RGBA"),
        ("avif", "RGB"),
        ("mpo", "RGB"),
        ("tiff", "F"),
    ),
)
_PNG_START = b"\x89PNG\r\n\x1a\n"


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        self._scene = Image.fromarray(noise).resize((_WIDTH, _HEIGHT), Image.Resampling.BICUBIC)

    def case(self, rng: random.Random) -> Case:
        """A picture in some format, damaged in some way, with a size that is expected or none."""
        format_name, mode = rng.choice(_FORMATS)
        whole = self._encoded(rng, format_name, mode)
        what, data = _damaged(rng, whole, format_name)
        name = rng.choice(("a.jpg", "a.png", "ä b.jpeg", "a", "a.txt"))
        (self._folder / name).write_bytes(data)
        sizes = (Size(_HEIGHT, _WIDTH), Size(_HEIGHT, _WIDTH), None, Size(_WIDTH, _HEIGHT), Size(1, 1))
        expected = rng.choice(sizes)
        what = f"{format_name} {mode}, {what}, expected {expected}"
        is_cut = len(data) < len(whole) and whole.startswith(data)
        return Case(what, [name], lambda: self._attempt(name, whole, data, expected, is_cut=is_cut))

    def _encoded(self, rng: random.Random, format_name: str, mode: str) -> bytes:
        if mode == "I;16":
            image = Image.fromarray(np.asarray(self._scene.convert("L")).astype(np.uint16) * 257)
        else:
            image = self._scene.convert(mode)
        options: dict[str, Any] = {}
        if format_name == "jpeg":
            options = {"quality": rng.choice((50, 95)), "progressive": rng.random() < 0.3}
            options["restart_marker_rows"] = rng.choice((0, 1))
        if format_name == "tiff":
            options = {"compression": rng.choice((None, "tiff_lzw", "tiff_adobe_deflate"))}
        if format_name in ("jpeg", "png", "webp") and rng.random() < 0.3:
            exif = Image.Exif()
            exif[0x0112] = rng.randrange(10)
            options["exif"] = exif
        buffer = io.BytesIO()
        image.save(buffer, format_name, **options)
        return buffer.getvalue()

    def _attempt(
        self, name: str, whole: bytes, data: bytes, expected: Size | None, *, is_cut: bool
    ) -> str | None:
        content = open_images(self._folder).read(name)
        decoded, damage = decode_picture(content, expected=expected, name=name)
        if damage is None and _is_corrupt_jpeg(data):
            return "a JPEG with corrupt data, and no word of it"
        pixels = decoded.permute(1, 2, 0).numpy()
        if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
            return f"{pixels.dtype} {pixels.shape}"
        if expected is not None and pixels.shape[:2] != (expected.height, expected.width):
            return f"{pixels.shape} where {expected} was expected"
        if not any(np.array_equal(pixels, turned) for turned in _by_pillow(data)):
            return "not what Pillow reads"
        is_damaged = is_cut or (data.startswith(_PNG_START) and _has_wrong_checksum(data))
        if is_damaged and not any(np.array_equal(pixels, turned) for turned in _by_pillow(whole)):
            return (
                "other pixels, though the file is cut"
                if is_cut
                else "other pixels, though a checksum is wrong"
            )
        return None


def _is_corrupt_jpeg(data: bytes) -> bool:
    """Whether libjpeg-turbo warns of corrupt data, more than of bytes beside the coded pixels."""
    if not data.startswith(b"\xff\xd8\xff"):
        return False
    try:
        simplejpeg.decode_jpeg(data)
    except ValueError as error:
        return str(error).startswith("Corrupt JPEG data") and "extraneous bytes" not in str(error)
    return False


def _by_pillow(data: bytes) -> Iterator[NDArray[np.uint8]]:
    """What Pillow makes of a file, as stored and turned in all ways."""
    image = Image.open(io.BytesIO(data))
    if image.mode.startswith("I;16"):
        rows = np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    else:
        rows = np.asarray((image.convert("RGBA") if image.mode in ("P", "PA") else image).convert("RGB"))
    for turns in range(4):
        turned = np.rot90(rows, turns)
        yield turned
        yield turned[:, ::-1]


def _png_chunks(data: bytes) -> Iterator[tuple[int, bytes, bytes, bytes]]:
    """Position, kind, content and stored checksum of each chunk, to where the file stops making sense."""
    position = len(_PNG_START)
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        kind, content = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        yield position, kind, content, data[position + 8 + length : position + 12 + length]
        if kind == b"IEND":
            return
        position += 12 + length


def _has_wrong_checksum(data: bytes) -> bool:
    return any(
        struct.pack(">I", zlib.crc32(kind + content)) != checksum
        for _, kind, content, checksum in _png_chunks(data)
    )


def _damaged(rng: random.Random, whole: bytes, format_name: str) -> tuple[str, bytes]:
    if rng.random() < 0.05:
        return "whole", whole
    if rng.random() < 0.03:
        return "no picture", rng.choice((b"", b"<!DOCTYPE html>", b"\0" * 100, b"\xff\xd8\xff", _PNG_START))
    if format_name == "png" and rng.random() < 0.25:
        edge = rng.choice((0, 1, 57, 30_000, 2**16, 2**31 - 1, 2**32 - 1))
        header = struct.pack(">II", rng.choice((_WIDTH, edge)), edge) + whole[24:29]
        checksum = struct.pack(">I", zlib.crc32(b"IHDR" + header))
        return f"header claims {edge}", whole[:16] + header + checksum + whole[33:]
    if format_name in ("gif", "bmp") and rng.random() < 0.25:
        edge, start = rng.choice((0, 1, 57, 2**15, 2**16 - 1)), 6 if format_name == "gif" else 18
        form = "<HH" if format_name == "gif" else "<II"
        packed = struct.pack(form, edge, edge)
        return f"header claims {edge}", whole[:start] + packed + whole[start + len(packed) :]
    if format_name == "jpeg" and rng.random() < 0.25:
        marker = whole.find(b"\xff\xc2" if b"\xff\xc2" in whole else b"\xff\xc0")
        edges = struct.pack(">HH", *rng.choices((0, 1, 39, 57, 30_000, 65_500), k=2))
        return f"header claims {edges!r}", whole[: marker + 5] + edges + whole[marker + 9 :]
    return damage(rng, whole)
