"""Pictures as parts of a page."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from hrdet_cli.pages.blocks import Picture

_MOST_BYTES = 9_000_000
"""Of the pictures of a page, so that any browser and any mailbox takes it."""
_JPEG_QUALITY = 85
_SMALL_PNG_BYTES = 150_000
"""A PNG of no more stays one, with sharp letters; a JPEG of a larger one has a quarter of its bytes."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A picture in a page.

    Attributes:
        address: All of it, as a ``data:`` address.
        width: In pixels.
        height: In pixels.
    """

    address: str
    width: int
    height: int


@dataclass(slots=True)
class PictureStore:
    """Makes pictures parts of one page, until there are too many.

    Attributes:
        num_bytes: What those so far take.
    """

    num_bytes: int = field(default=0, init=False)

    def embed(self, picture: Picture) -> Embedded | str:
        """The picture for the page; or why it is not in it, in words."""
        name = picture.source.name if isinstance(picture.source, Path) else "a picture"
        try:
            embedded = _embed(picture.source)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # as Pillow raises
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "damaged"
            return f"{name} cannot be read ({reason})."
        if self.num_bytes + len(embedded.address) > _MOST_BYTES:
            return f"Not in this page, which is large enough: see {name} beside it."
        self.num_bytes += len(embedded.address)
        return embedded


def _embed(source: Path | Image.Image) -> Embedded:
    if isinstance(source, Image.Image):
        return _jpeg(source)
    content = source.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        if picture.format == "PNG" and len(content) <= _SMALL_PNG_BYTES:
            return Embedded(_address("png", content), *picture.size)
        return _jpeg(picture)


def _jpeg(picture: Image.Image) -> Embedded:
    encoded = io.BytesIO()
    plain = picture.convert("RGB")
    plain.save(encoded, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)  # letters have colours
    return Embedded(_address("jpeg", encoded.getvalue()), *picture.size)


def _address(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
