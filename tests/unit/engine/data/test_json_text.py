import json
import os
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.engine.data.checking.annotations import read_json
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.json_text import ObjectWithRepeatedKeys, object_of, read_bytes, utf8_of
from hrdet_cli.errors import DataError

_CONTENT: dict[str, Any] = {
    "info": "größer",
    "images": [{"id": 1, "file_name": "öl.jpg", "height": 20, "width": 30}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}],
    "categories": [{"id": 1, "name": "Öl"}],
}
_TEXT = json.dumps(_CONTENT, ensure_ascii=False)
_MARK = "\ufeff"


@pytest.mark.parametrize(
    "raw",
    [
        _TEXT.encode(),
        (_MARK + _TEXT).encode(),
        *(_TEXT.encode(name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
        *((_MARK + _TEXT).encode(name) for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")),
    ],
)
def test_training_and_check_data_read_every_encoding_of_json(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    assert load_coco(path).class_names == ("Öl",)
    assert load_coco(path).file_names.tolist() == ["öl.jpg"]
    assert read_json(path).content == _CONTENT


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            _TEXT.encode("latin-1"),
            "is not in UTF-8, as JSON is: byte 12, in line 1, is 0xf6 (near ",
        ),
        (
            _TEXT.encode("latin-1"),
            "Save it as UTF-8; if it is Latin-1 or Windows-1252, with: iconv -f CP1252 -t UTF-8 '",
        ),
        ((_MARK + _TEXT).encode().replace("ß".encode(), b"\xdf"), "byte 17, in line 1, is 0xdf"),
        (b'{"a":\n\n"' + b"x" * (1 << 20) + b'\xff"}', "byte 1,048,584, in line 3, is 0xff"),
        # the first byte of a character at the end of what is looked at in one go
        (b'{"a": "' + b"x" * ((1 << 20) - 8) + b'\xc3"}', "byte 1,048,575, in line 1, is 0xc3"),
        (_TEXT.encode()[:13], "it ends in the middle of a character. It is not complete: copy it again."),
        (_TEXT.encode("utf-16")[:-1], "begins like UTF-16, but"),
        (
            (_MARK + '{"a": "\ud800"}').encode("utf-16-le", "surrogatepass"),
            "begins like UTF-16, but",
        ),
    ],
)
def test_bytes_in_no_encoding_of_json_are_told_with_their_place(
    tmp_path: Path, raw: bytes, message: str
) -> None:
    path = tmp_path / "my file.json"
    path.write_bytes(raw)
    for read in (load_coco, read_json):
        with pytest.raises(DataError) as caught:
            read(path)
        assert message in str(caught.value)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("more", [_TEXT, "\0\0\0", "}"])
def test_more_behind_the_end_of_a_document_is_told(tmp_path: Path, more: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(_TEXT + more)
    for read in (load_coco, read_json):
        with pytest.raises(DataError, match=r"Extra data: .*Was it written twice, or over a longer file\?"):
            read(path)


def test_what_is_no_text_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for raw, message in (
        (b"", "is empty (0 bytes), not COCO annotations. Copy or download it again."),
        (b"PK\x03\x04" + bytes(range(200)), "is a ZIP archive, not COCO annotations. Unpack it"),
        (b"\x1f\x8b\x08" + bytes(20), "is compressed with gzip, not COCO annotations."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page (HTML), not COCO annotations."),
        ("<!DOCTYPE html>".encode("utf-16"), "is a web page (HTML), not COCO annotations."),
        (b"\xff\xd8\xff\xe0", "is a JPEG picture, not COCO annotations. Give the JSON file with images,"),
    ):
        path.write_bytes(raw)
        with pytest.raises(DataError) as caught:
            load_coco(path)
        assert message in str(caught.value)


def test_a_folder_in_place_of_a_file_is_told_with_the_json_files_in_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder, not COCO annotations\. There is no \.json file in it"):
        load_coco(tmp_path)
    for name in ("b.json", "annotations/a.json", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"There are in it: annotations/a\.json, b\.json\."):
        read_json(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(_TEXT)
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        load_coco(path)


def test_an_object_knows_the_keys_it_was_given_twice_and_has_the_last_value(tmp_path: Path) -> None:
    content = object_of(b'{"images": {"a": 1, "b": 2, "a": 3, "a": 1}}', path=tmp_path)
    inner = content["images"]
    assert isinstance(inner, ObjectWithRepeatedKeys)
    assert (inner, inner.values_by_key) == ({"a": 1, "b": 2}, {"a": [1, 3, 1]})
    assert type(content) is dict


def test_a_text_in_utf8_is_not_copied() -> None:
    raw = _TEXT.encode()
    assert utf8_of(raw, path=Path("a.json")) is raw


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(DataError, match=r"pipe\.json is a pipe, not a file; it is read more than once"):
        read_bytes(tmp_path / "pipe.json")
