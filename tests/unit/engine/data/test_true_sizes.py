"""Sizes that are told without decoding, as decoding finds them."""

import io

import pytest
from PIL import ExifTags, Image, PngImagePlugin

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.true_sizes import true_sizes_of
from hrdet_cli.engine.geometry import Size


def _picture(orientation: int | None, kind: str) -> bytes:
    """A picture of 40x20."""
    exif, file = Image.Exif(), io.BytesIO()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", (40, 20)).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [None, 0, 1, 3, 6, 8, 9, 255])
def test_a_picture_has_the_size_that_it_is_decoded_to(kind: str, orientation: int | None) -> None:
    picture = _picture(orientation, kind)
    turned = true_sizes_of(Image.open(io.BytesIO(picture))).turned
    assert decode_rgb(picture, expected=None, name="a").shape == (3, turned.height, turned.width)
    assert turned == (Size(40, 20) if orientation in (6, 8) else Size(20, 40))


def test_a_png_is_decoded_only_where_exif_may_follow_its_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: PngImagePlugin.PngImageFile) -> None:
        raise AssertionError("it is decoded")

    picture = _picture(6, "PNG")
    start = picture.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(picture[start : start + 4])
    exif, last = picture[start:end], picture.index(b"IEND") - 4
    behind = picture[:start] + picture[end:last] + exif + picture[last:]
    assert true_sizes_of(Image.open(io.BytesIO(behind))).turned == Size(40, 20)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", refuse)
    assert true_sizes_of(Image.open(io.BytesIO(_picture(None, "PNG")))).turned == Size(20, 40)
    assert true_sizes_of(Image.open(io.BytesIO(picture))).turned == Size(40, 20)
