"""The chunks that a PNG consists of (its standard, section 5)."""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

PIXELS = b"IDAT"
"""The kind of chunks that hold pixels."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">I4s")  # length of the content, kind
_CHECKSUM_BYTES = 4  # of kind and content, behind these


class Chunk(NamedTuple):
    """Where a chunk is.

    Attributes:
        kind: Four letters.
        start: The first byte of its content in the file.
        end: Behind its content, where its checksum is.
    """

    kind: bytes
    start: int
    end: int


def chunks_of(file: IO[bytes]) -> Iterator[Chunk]:
    """The chunks in their order, as far as their headers are whole; none where the file is no PNG.

    Reads nothing but headers, and leaves the file at any place.
    """
    file.seek(0)
    is_png = file.read(len(_SIGNATURE)) == _SIGNATURE
    while is_png and len(header := file.read(_HEADER.size)) == _HEADER.size:
        length, kind = _HEADER.unpack(header)
        start = file.tell()
        yield Chunk(kind, start, start + length)
        file.seek(start + length + _CHECKSUM_BYTES)
