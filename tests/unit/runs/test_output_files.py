"""Documents are written whole or not at all, and a place for files is tried out before the work."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hrdet_cli.errors import OutputError
from hrdet_cli.runs.output_files import (
    refuse_unwritable_file,
    refuse_unwritable_folder,
    save_picture,
    write_json,
)


def test_a_document_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_picture_takes_the_place_of_another_once_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "new" / "a.jpg"
    save_picture(Image.new("RGB", (4, 4)), file)
    before = file.read_bytes()

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=f"^{file}: cannot be written: No space left on device$"):
        save_picture(Image.new("RGB", (9, 9)), file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]
    with pytest.raises(
        OutputError, match=f"^{file}: cannot be written as JPEG: cannot write mode F as JPEG$"
    ):
        save_picture(Image.new("F", (4, 4)), file)


def test_names_may_be_as_long_as_file_systems_take(tmp_path: Path) -> None:
    file = tmp_path / f"{'a' * 251}.jpg"
    save_picture(Image.new("RGB", (4, 4)), file)
    assert list(tmp_path.iterdir()) == [file]


def test_what_can_be_written_is_tried_out_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("old")
    for file in (tmp_path / "new" / "folder" / "a.html", Path("a.html"), tmp_path / "there.html"):
        refuse_unwritable_file(file, option="--html")
    for folder in (tmp_path / "new" / "folder", Path(), Path(".."), tmp_path):
        refuse_unwritable_folder(folder, option="--out")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("refuse", [refuse_unwritable_file, refuse_unwritable_folder])
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("file/a", "Not a directory"),
        ("file/a/b", "Not a directory"),
        ("a" * 252, "File name too long"),
        ("dangling/a", "No such file or directory"),
        ("/proc/a", "No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_option_that_named_it(
    tmp_path: Path, refuse: Callable[..., None], place: str, why: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    message = f"{tmp_path / place}: cannot be written to: {why}; choose another --report"
    with pytest.raises(OutputError, match=f"^{re.escape(message)}$"):
        refuse(tmp_path / place, option="--report")


def test_a_file_takes_no_folder_s_or_device_s_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f"^{tmp_path}: is a folder; give --html the name of a file$"):
        refuse_unwritable_file(tmp_path, option="--html")
    with pytest.raises(OutputError, match=r"^/dev/null: is no ordinary file; give --html the name of one$"):
        refuse_unwritable_file(Path("/dev/null"), option="--html")


def test_a_folder_is_not_made_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written to: Not a directory; choose another --o"):
        refuse_unwritable_folder(tmp_path / "file", option="--out")
