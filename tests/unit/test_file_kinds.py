import gzip
import io
import tarfile
import zipfile

import pytest
from PIL import Image

from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.json", "{}")
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.json"))
    return buffer.getvalue()


def _picture(name: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, name)
    return buffer.getvalue()


_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
_NAME_BY_CONTENT = {
    b"": "empty (0 bytes)",
    bytes(600): "nothing but zero bytes",
    _LFS: "a Git LFS pointer, not the file it stands for",
    _zip(): "a ZIP archive",
    gzip.compress(b"{}", mtime=0): "compressed with gzip",
    _tar(): "a tar archive",
    b"\xef\xbb\xbf\n<!DOCTYPE html><title>Sign in</title>": "a web page (HTML)",
    b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>": "a web page (HTML)",
    b"<annotation><folder>VOC2007</folder>": "Pascal VOC's XML of one picture",
    b"<?xml version='1.0'?>\n<annotation>": "Pascal VOC's XML of one picture",
    b"<?xml version='1.0'?>\n<annotations><version>1.1</version><meta>": "CVAT's XML",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "XML",
    _picture("JPEG"): "a JPEG picture",
    _picture("PNG"): "a PNG picture",
    _picture("TIFF"): "a TIFF picture",
}


@pytest.mark.parametrize(("content", "name"), _NAME_BY_CONTENT.items(), ids=_NAME_BY_CONTENT.values())
def test_a_file_is_known_by_its_first_bytes(content: bytes, name: str) -> None:
    kind = kind_of_file(content[:NUM_BYTES_NEEDED])
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b' {"images": []}',
        b'{"info": "<html><annotation>"}',
        b"preset: demo\n",
        b"0 0.5 0.5 0.1 0.1\n",
        b"\0\0",
    ],
)
def test_what_has_no_mark_of_its_own_is_not_guessed(content: bytes) -> None:
    assert kind_of_file(content) is None
