import csv
import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from hrdet_cli.engine.data import decoding
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

_NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
_SIZE = Size(height=20, width=30)


# Exif 2.3, table 6: which side of the scene the first stored row and column are.
_UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    5: lambda stored: stored.transpose(1, 0, 2),  # row left, column top
    6: lambda stored: np.rot90(stored, k=-1),  # row right, column top
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],  # row right, column bottom
    8: lambda stored: np.rot90(stored, k=1),  # row left, column bottom
}


def _encoded(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _by_pillow(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def test_channels_come_in_the_order_red_green_blue() -> None:
    red = _encoded(Image.new("RGB", (30, 20), (255, 0, 0)), "PNG")
    assert decode_rgb(red, expected=_SIZE, name="red").float().mean(dim=(1, 2)).tolist() == [255, 0, 0]
    red = _encoded(Image.new("RGB", (30, 20), (255, 0, 0)), "JPEG")
    assert decode_rgb(red, expected=_SIZE, name="red")[:, 5, 5].tolist() == pytest.approx([255, 0, 0], abs=2)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpegs_of_every_colour_space_come_out_in_their_colours(mode: str) -> None:
    flat = Image.new("RGB", (30, 20), (90, 90, 90) if mode == "L" else (200, 60, 20))
    decoded = decode_rgb(_encoded(flat.convert(mode), "JPEG", quality=95), expected=_SIZE, name="x")
    assert decoded[:, 7, 7].tolist() == pytest.approx(flat.getpixel((0, 0)), abs=3)


_SAMPLINGS = [  # horizontal and vertical factors of the luminance, as a JPEG's header has them
    *("4:4:4", "4:2:2", "4:2:0"),
    *("440", "411"),  # Pillow writes neither
    "grey",
]


def _jpegs_of(sampling: str) -> Iterator[bytes]:
    """Pictures of sizes round the blocks of 8 and 16 pixels, coded in each way that cameras and tools use."""
    chance = np.random.default_rng(0)
    for height, width in [(1, 1), (8, 8), (7, 17), (33, 31), (1, 40), (40, 1), (51, 70)]:
        coarse = Image.fromarray(
            chance.integers(0, 256, (height // 5 + 2, width // 5 + 2, 3), dtype=np.uint8)
        )
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        if sampling in ("440", "411"):
            yield simplejpeg.encode_jpeg(np.array(image), 85, "RGB", sampling)
            continue
        how: dict[str, Any] = {} if sampling == "grey" else {"subsampling": sampling}
        image = image.convert("L") if sampling == "grey" else image
        for quality, progressive, restart in itertools.product((40, 95), (False, True), (0, 2)):
            how |= {"quality": quality, "progressive": progressive, "restart_marker_blocks": restart}
            yield _encoded(image, "JPEG", **how)


@pytest.mark.parametrize("sampling", _SAMPLINGS)
def test_the_fast_decoder_gives_pillows_pixels_to_the_last_bit(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(decoding, "_decode_with_pillow")
    for data in _jpegs_of(sampling):
        image = Image.open(io.BytesIO(data))
        decoded = decode_rgb(data, expected=Size(image.height, image.width), name="x")
        assert torch.equal(decoded, _by_pillow(image))


def test_faults_that_pillow_overlooks_do_not_change_what_is_decoded() -> None:
    data = _encoded(Image.fromarray(_NOISE[..., :3]), "JPEG", quality=95)
    first_of_scan = data.index(b"\xff\xda") + 14
    damaged = [data[:-2] + b"\0\0\0" + data[-2:], data + b"\0\0"]
    damaged += [
        data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]
        for position in range(first_of_scan, len(data) - 2, 37)
    ]
    num_refused = 0
    for bytes_now in damaged:
        try:
            expected = _by_pillow(Image.open(io.BytesIO(bytes_now)))
        except OSError:
            num_refused += 1
            with pytest.raises(DataError, match="picture x cannot be decoded"):
                decode_rgb(bytes_now, expected=_SIZE, name="x")
        else:
            assert torch.equal(decode_rgb(bytes_now, expected=_SIZE, name="x"), expected)
    assert num_refused < len(damaged) / 2


def test_alpha_is_dropped_and_not_blended() -> None:
    data = _encoded(Image.fromarray(_NOISE), "PNG")
    expected = torch.from_numpy(_NOISE[..., :3].copy()).permute(2, 0, 1)
    assert torch.equal(decode_rgb(data, expected=_SIZE, name="x"), expected)


def test_palette_transparency_is_dropped() -> None:
    palette = Image.fromarray(_NOISE[..., :3]).quantize(16)
    data = _encoded(palette, "PNG", transparency=bytes(range(0, 160, 10)))
    assert torch.equal(decode_rgb(data, expected=_SIZE, name="x"), _by_pillow(palette))


def test_16_bit_grey_keeps_its_high_byte() -> None:
    grey = np.arange(600, dtype=np.uint16).reshape(20, 30) * 109
    decoded = decode_rgb(_encoded(Image.fromarray(grey), "PNG"), expected=_SIZE, name="x")
    assert torch.equal(decoded, torch.from_numpy(grey >> 8).to(torch.uint8).expand(3, -1, -1))


def test_float_pixels_are_refused() -> None:
    data = _encoded(Image.fromarray(np.zeros((20, 30), dtype=np.float32)), "TIFF")
    with pytest.raises(DataError, match="picture x cannot be decoded: pixels of mode F have no known range"):
        decode_rgb(data, expected=_SIZE, name="x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_exif_is_applied_unless_the_annotated_size_is_the_stored_one_and_not_the_turned_one(
    orientation: int, format_name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.fromarray(_NOISE[..., :3]), format_name, exif=exif)
    stored = Image.open(io.BytesIO(data))
    decoded = decode_rgb(data, expected=_SIZE, name="x")
    if orientation < 5:
        upright = _ALL_ORIENTATIONS[orientation](np.asarray(stored)).copy()
        assert torch.equal(decoded.permute(1, 2, 0), torch.from_numpy(upright))
    else:
        assert torch.equal(decoded, _by_pillow(stored))
    turned = Size(height=30, width=20)
    if orientation >= 5:
        expected = _UPRIGHT[orientation](np.asarray(stored)).copy()
        decoded = decode_rgb(data, expected=turned, name="x")
        assert torch.equal(decoded.permute(1, 2, 0), torch.from_numpy(expected))
    else:
        with pytest.raises(DataError, match="but its annotations say 20x30"):
            decode_rgb(data, expected=turned, name="x")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
def test_exif_is_applied_to_a_square_picture(orientation: int, format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.fromarray(_NOISE[:20, :20, :3]), format_name, exif=exif)
    upright = _ALL_ORIENTATIONS[orientation](np.asarray(Image.open(io.BytesIO(data)))).copy()
    decoded = decode_rgb(data, expected=Size(20, 20), name="x")
    assert torch.equal(decoded.permute(1, 2, 0), torch.from_numpy(upright))


def test_an_exif_block_that_cannot_be_read_is_none() -> None:
    broken = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\0\0\xff\xff\xff\x7f"
    plain, with_broken = (
        decode_rgb(_encoded(Image.fromarray(_NOISE[..., :3]), "JPEG", exif=exif), expected=_SIZE, name="x")
        for exif in (b"", broken)
    )
    assert torch.equal(with_broken, plain)


def test_a_wrong_size_names_the_picture_and_both_sizes() -> None:
    data = _encoded(Image.new("RGB", (30, 20)), "PNG")
    with pytest.raises(DataError) as caught:
        decode_rgb(data, expected=Size(height=21, width=30), name="train/7.png")
    assert str(caught.value).startswith(
        "picture train/7.png is 30x20 but its annotations say 30x21, width x height. Correct the size"
    )
    with pytest.raises(DataError, match=r"20x30, width x height\. They are exchanged: hrdet check-data"):
        decode_rgb(data, expected=Size(height=30, width=20), name="train/7.png")


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "GIF", "TIFF"])
def test_a_picture_cut_anywhere_is_refused_by_name(format_name: str) -> None:
    data = _encoded(Image.fromarray(_NOISE[..., :3]), format_name)
    for length in range(0, len(data) * 9 // 10, len(data) // 20):
        with pytest.raises(DataError, match=r"picture cut\.jpg cannot be decoded"):
            decode_rgb(data[:length], expected=_SIZE, name="cut.jpg")


def test_what_is_no_picture_is_refused_by_name() -> None:
    with pytest.raises(DataError) as raised:
        decode_rgb(b"some words", expected=_SIZE, name="page.jpg")
    assert str(raised.value) == (
        "picture page.jpg cannot be decoded: its format is not known. "
        "Replace it or remove it from the annotations."
    )


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty (0 bytes). Copy or download it again."),
        (bytes(900), "it is nothing but zero bytes. The copy or download was cut short: make it again."),
        (b"<!DOCTYPE html><html>", "it is a web page (HTML). The download gave a page in place of the file"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "it is a Git LFS pointer, not the file it stands for. Fetch the file with: git lfs pull",
        ),
        (b"PK\x03\x04" + bytes(99), "it is a ZIP archive. Unpack it, and give the file that was in it."),
        (b"\0\0\0\x18ftypheic" + bytes(99), "it is a HEIC picture. Convert it to JPEG or PNG."),
        (b"\0\0\0\x18ftypisom" + bytes(99), "it is a video. Take pictures out of it"),
    ],
)
@pytest.mark.parametrize("expected", [_SIZE, None])
def test_another_file_in_the_place_of_a_picture_is_called_what_it_is(
    data: bytes, what: str, expected: Size | None
) -> None:
    with pytest.raises(DataError) as raised:
        decode_rgb(data, expected=expected, name="x.jpg")
    assert str(raised.value).startswith(f"picture x.jpg cannot be decoded: {what}")


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
@pytest.mark.parametrize("factor", [1.5, 3])
def test_a_picture_is_refused_where_it_unpacks_to_too_many_pixels(
    monkeypatch: pytest.MonkeyPatch, factor: float, format_name: str
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(600 / factor))  # Pillow would warn, or refuse it
    data = _encoded(Image.new("RGB", (30, 20)), format_name)
    assert decode_rgb(data, expected=_SIZE, name="big.png", max_pixels=600).shape == (3, 20, 30)
    with pytest.raises(DataError) as raised:
        decode_rgb(data, expected=_SIZE, name="big.png", max_pixels=599)
    assert str(raised.value) == (
        "picture big.png has more than the 599 pixels that hrdet decodes. Make it smaller, or look at it in "
        "tiles: --set 'data.tiles={max_picture_pixels: 600}'"
    )
    assert int(600 / factor) == Image.MAX_IMAGE_PIXELS  # as it was


def test_the_limit_is_where_pillow_refuses() -> None:
    assert 2 * (Image.MAX_IMAGE_PIXELS or 0) == MAX_PICTURE_PIXELS


def test_odd_pictures_found_in_the_wild_decode_or_say_why(shared_data: Path) -> None:
    folder = shared_data / "odd_free"
    rows = list(csv.DictReader((folder / "WHY.csv").read_text().splitlines()))
    for row in rows:
        data = (folder / "images" / row["file"]).read_bytes()
        size = Size(height=int(row["height"]), width=int(row["width"]))
        if "TRUNCATED" in row["reason"]:
            with pytest.raises(DataError, match=row["file"]):
                decode_rgb(data, expected=size, name=row["file"])
            continue
        decoded = decode_rgb(data, expected=size, name=row["file"])
        assert (decoded.shape, decoded.dtype) == ((3, size.height, size.width), torch.uint8), row["file"]
        if row["mode"] in ("L", "1", "LA", "I;16"):
            assert torch.equal(decoded[0], decoded[2]), row["file"]
        if row["mode"] == "I;16":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow dislikes the direct way from a transparent palette
            image = Image.open(folder / "images" / row["file"])
            upright = ImageOps.exif_transpose(image)
            seen = upright if (upright.width, upright.height) == (size.width, size.height) else image
            assert torch.equal(decoded, _by_pillow(seen)), row["file"]
    assert len(rows) == 25


@pytest.mark.parametrize("file", ["coco_pico/instances_val.json", "bccd/instances_test.json"])
def test_annotated_sizes_of_real_pictures_are_those_of_the_files(shared_data: Path, file: str) -> None:
    coco = load_coco(shared_data / file)
    for index in range(min(10, len(coco))):
        name = str(coco.file_names[index])
        path = (shared_data / file).parent / "images" / name
        decoded = decode_rgb(path.read_bytes(), expected=coco.size_of(index), name=name)
        assert torch.equal(decoded, _by_pillow(Image.open(path)))


_ALL_ORIENTATIONS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    **_UPRIGHT,
}


@pytest.mark.parametrize("format_name", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", _ALL_ORIENTATIONS)
def test_without_annotations_every_orientation_is_applied(orientation: int, format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(Image.fromarray(_NOISE[..., :3]), format_name, exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(data)))
    upright = _ALL_ORIENTATIONS[orientation](stored)
    decoded = decode_rgb(data, expected=None, name="x").permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(decoded, upright)


def test_without_annotations_nothing_else_changes() -> None:
    for data in (
        _encoded(Image.fromarray(_NOISE[..., :3]), "JPEG"),
        _encoded(Image.fromarray(_NOISE), "PNG"),
        _encoded(Image.fromarray(_NOISE[..., 0]), "JPEG"),
    ):
        expected = decode_rgb(data, expected=_SIZE, name="x")
        torch.testing.assert_close(decode_rgb(data, expected=None, name="x"), expected, rtol=0, atol=0)


def test_without_annotations_an_error_does_not_speak_of_any() -> None:
    with pytest.raises(DataError) as raised:
        decode_rgb(b"text", expected=None, name="x.jpg")
    assert str(raised.value) == "picture x.jpg cannot be decoded: its format is not known."


def test_a_png_whose_pixels_do_not_match_their_checksum_is_refused() -> None:
    data = _encoded(Image.fromarray(_NOISE[..., :3]), "PNG", compress_level=0)  # a flipped bit still inflates
    position = data.index(b"IDAT") + 200
    damaged = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    with pytest.raises(DataError) as raised:
        decode_rgb(damaged, expected=_SIZE, name="x.png")
    assert str(raised.value).startswith(
        "picture x.png cannot be decoded: a checksum of its pixels is wrong. Replace it"
    )
    assert torch.equal(
        decode_rgb(data, expected=_SIZE, name="x"), _by_pillow(Image.fromarray(_NOISE[..., :3]))
    )
