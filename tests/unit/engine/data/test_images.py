import multiprocessing
import os
import pickle
import stat
import struct
import subprocess
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hrdet_cli.engine.data.image_source import MAX_FILE_BYTES, ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.picture_listing import list_pictures
from hrdet_cli.errors import DataError

_FILES = {"a.jpg": b"alpha" * 1000, "sub/b.png": b"\x00\xffbeta", "c.jpg": b""}


def _zip(path: Path, files: dict[str, bytes], *, folder: str = "", method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        if folder:
            archive.mkdir(folder.rstrip("/"))
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return path


def _folder(path: Path) -> Path:
    for name, data in _FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def _read_all(source: ImageSource) -> dict[str, bytes]:
    return {name: source.read(name) for name in _FILES}


@pytest.mark.parametrize("kind", ["folder", "stored", "deflated", "folder in zip"])
def test_every_kind_of_root_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    roots = {
        "folder": lambda: _folder(tmp_path / "root"),
        "stored": lambda: _zip(tmp_path / "x.zip", _FILES),
        "deflated": lambda: _zip(tmp_path / "x.zip", _FILES, method=zipfile.ZIP_DEFLATED),
        "folder in zip": lambda: _zip(tmp_path / "x.zip", _FILES, folder="train2017/"),
    }
    assert _read_all(open_images(roots[kind]())) == _FILES


def test_a_name_may_carry_the_archives_own_name_as_folder(tmp_path: Path) -> None:
    source = open_images(_zip(tmp_path / "train2017.zip", _FILES))
    assert source.read("train2017/a.jpg") == _FILES["a.jpg"]


def test_extra_folders_of_macos_do_not_hide_the_common_folder(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"photos/a.jpg": b"1", "__MACOSX/photos/._a.jpg": b"2"})
    assert open_images(path).read("a.jpg") == b"1"


def test_an_archive_of_several_folders_is_read_by_full_names(tmp_path: Path) -> None:
    source = open_images(_zip(tmp_path / "x.zip", {"train/a.jpg": b"1", "val/a.jpg": b"2"}))
    assert source.read("val/a.jpg") == b"2"
    assert source.find(["a.jpg", "train/a.jpg"]).missing == ["a.jpg"], "it may be that of val"


def test_an_archive_without_members_holds_nothing(tmp_path: Path) -> None:
    assert open_images(_zip(tmp_path / "x.zip", {})).find(["a.jpg", ""]).missing == ["a.jpg", ""]


def test_names_in_any_script_are_found_and_prefixes_of_names_are_not(tmp_path: Path) -> None:
    names = ["zebra.jpg", "ätsch.jpg", "東京.jpg", "a.jp", "a.jpgg"]
    source = open_images(_zip(tmp_path / "x.zip", {name: name.encode() for name in names}))
    assert [source.read(name).decode() for name in names] == names
    absent = ["", "a", "a.jpg", "zebra.jpg ", "東", "~", "zebra.jpg" * 50]
    assert source.find([*names, *absent]).missing == absent


def test_absurdly_long_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.zip holds a member with a name of 1001 characters; no more"):
        open_images(_zip(tmp_path / "x.zip", {"a" * 1001: b""}))


def test_an_archive_made_by_another_program_is_read(tmp_path: Path) -> None:
    # Info-ZIP writes longer extra fields beside the members than in the directory.
    _folder(tmp_path / "root")
    try:
        subprocess.run(["zip", "-q", "-r", "../x.zip", "."], cwd=tmp_path / "root", check=True)
    except FileNotFoundError:
        pytest.skip("needs the program zip")
    assert _read_all(open_images(tmp_path / "x.zip")) == _FILES


@pytest.mark.parametrize("is_zip", [False, True])
def test_missing_names_are_found_without_reading(tmp_path: Path, is_zip: bool) -> None:
    source = open_images(_zip(tmp_path / "x.zip", _FILES) if is_zip else _folder(tmp_path / "root"))
    names = ["a.jpg", "sub/a.jpg", "sub/b.png", "nowhere/d.jpg", "A.jpg"]
    assert source.find(names).missing == ["sub/a.jpg", "nowhere/d.jpg", "A.jpg"]


@pytest.mark.parametrize("is_zip", [False, True])
def test_reading_a_missing_picture_names_it_and_those_like_it(tmp_path: Path, is_zip: bool) -> None:
    root = _zip(tmp_path / "x.zip", _FILES) if is_zip else _folder(tmp_path / "root")
    with pytest.raises(DataError) as caught:
        open_images(root).read("a.jpeg")
    assert str(caught.value).startswith(f"picture a.jpeg is not in {root}; there is a.jpg")


def test_a_root_that_does_not_exist_or_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"gone does not exist\. Give a folder of pictures or a \.zip archive\."
    ):
        open_images(tmp_path / "gone")
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(
        DataError, match=r"x\.zip is neither a folder nor a ZIP archive that can be read: File"
    ):
        open_images(tmp_path / "x.zip")
    (tmp_path / "link").symlink_to("gone")
    with pytest.raises(
        DataError, match=r"link is a symbolic link to gone, which does not exist\. Give a folder"
    ):
        open_images(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe is a pipe, not a file\. Give a folder"):
        open_images(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty (0 bytes). Copy or download it again."),
        (bytes(257) + b"ustar" + bytes(300), "it is a tar archive. Unpack it with tar -xf."),
        (b"\x1f\x8b\x08" + bytes(300), "it is compressed with gzip. Unpack it with gunzip, or tar -xzf"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(300), "it is a 7-Zip archive. Unpack it"),
        (b"Rar!\x1a\x07" + bytes(300), "it is a RAR archive. Unpack it"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "it is a Git LFS pointer, not the file it stands for.",
        ),
        (b"<!DOCTYPE html><html>", "it is a web page (HTML)."),
        (b"\xff\xd8\xff\xe0" + bytes(300), "it is a JPEG picture. Give the folder with all pictures."),
        (b'{"images": []}', "it looks like JSON. The annotation file comes first, the pictures second."),
    ],
)
def test_another_file_in_the_place_of_an_archive_is_called_what_it_is(
    tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "images.zip"
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        open_images(path)
    assert str(raised.value).startswith(
        f"{path} is neither a folder nor a ZIP archive that can be read: {what}"
    )


def _zip_of_members(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what other programs do
        for name, data in members:
            archive.writestr(name, data)
    return path


def test_a_name_that_members_of_different_content_have_is_told_and_not_read(tmp_path: Path) -> None:
    members = [("b.jpg", b"1"), ("a.jpg", b"2"), ("b.jpg", b"3"), ("c.jpg", b"4"), ("c.jpg", b"4")]
    source = open_images(_zip_of_members(tmp_path / "x.zip", members))
    found = source.find(["a.jpg", "b.jpg", "c.jpg"])
    assert (found.missing, found.contradictory) == ([], ["b.jpg"])
    with pytest.raises(DataError, match=r"b\.jpg in .*x\.zip is there several times, and not the same"):
        source.read("b.jpg")
    assert source.read("c.jpg") == b"4"
    assert source.notes() == [f"{tmp_path / 'x.zip'}: 1 member again, with the same content"]


def test_a_member_without_a_name_is_told_and_harms_no_other(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"1", "b.jpg": b"2"})
    raw = path.read_bytes()
    start = raw.index(b"PK\x01\x02")
    entry = bytearray(raw[start : start + 46])
    struct.pack_into("<H", entry, 28, 0)  # the length of its name
    end = bytearray(raw[raw.index(b"PK\x05\x06") :])
    size = struct.unpack_from("<I", end, 12)[0] - len("a.jpg")
    struct.pack_into("<I", end, 12, size)
    path.write_bytes(raw[:start] + entry + raw[start + 46 + len("a.jpg") : raw.index(b"PK\x05\x06")] + end)
    source = open_images(path)
    assert source.find(["a.jpg", "b.jpg"]).missing == ["a.jpg"]
    assert source.read("b.jpg") == b"2"
    assert list_pictures(path).names == ["b.jpg"]
    assert source.notes() == [f"{path}: 1 member without a name; nothing reads them"]


def test_linked_folders_are_listed_once_whatever_circles_they_make(tmp_path: Path) -> None:
    root, other = tmp_path / "images", tmp_path / "other"
    for folder in (root / "a", other):
        folder.mkdir(parents=True)
        (folder / "1.jpg").touch()
    (root / "again").symlink_to(root / "a")
    (root / "linked").symlink_to(other)
    (other / "back").symlink_to(root)
    (other / "more").symlink_to(root / "a")
    assert list_pictures(root).names == ["a/1.jpg", "linked/1.jpg"]


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_of_several_links_to_a_folder_the_first_by_name_is_followed(tmp_path: Path, order: str) -> None:
    root, other = tmp_path / "images", tmp_path / "other"
    other.mkdir()
    (other / "1.jpg").touch()
    for name in order:
        (root / name).mkdir(parents=True)
        (root / name / "link").symlink_to(other)
    assert list_pictures(root).names == ["a/link/1.jpg"]


def test_a_symbolic_link_in_an_archive_is_called_what_it_is(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("a.jpg")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, "../elsewhere/a.jpg")
    with pytest.raises(DataError, match=r"a\.jpg in .*x\.zip is a symbolic link\. Make the archive again"):
        open_images(tmp_path / "x.zip").read("a.jpg")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda path: path.symlink_to("gone/b.jpg"),
            "is a symbolic link to gone/b.jpg, which does not exist",
        ),
        (lambda path: path.symlink_to(path), "is a symbolic link that leads in a circle"),
        (lambda path: path.mkdir(), "is a folder, not a file"),
        (os.mkfifo, "is a pipe, not a file"),
        (lambda path: path.symlink_to("/dev/null"), "is a device, not a file"),
    ],
    ids=["broken link", "circle", "folder", "pipe", "device"],
)
def test_what_is_no_file_is_called_what_it_is_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], object], why: str
) -> None:
    make(tmp_path / "a.jpg")
    (tmp_path / "A.JPG").write_bytes(b"1")
    source = open_images(tmp_path)
    assert source.find(["a.jpg"]).missing == ["a.jpg"]
    assert source.why_missing("a.jpg") == why
    with pytest.raises(DataError, match=why):
        source.read("a.jpg")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("position", range(35, 60, 6))
def test_a_flipped_bit_inside_a_member_is_noticed(tmp_path: Path, method: int, position: int) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"picture " * 9 + bytes(range(99))}, method=method)
    raw = bytearray(path.read_bytes())
    raw[position] ^= 0x10
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.jpg in .*x\.zip (is damaged|cannot be read)"):
        open_images(path).read("a.jpg")


def test_an_archive_cut_while_in_use_is_noticed(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"1" * 1000, "b.jpg": b"2" * 1000})
    source = open_images(path)
    os.truncate(path, 1500)
    assert source.read("a.jpg") == b"1" * 1000
    with pytest.raises(DataError, match=r"b\.jpg in .*x\.zip is damaged"):
        source.read("b.jpg")
    os.truncate(path, 0)
    with pytest.raises(
        DataError, match=r"a\.jpg in .* cannot be read: the file ends early\. Is the archive complete\?"
    ):
        source.read("a.jpg")


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"secret"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # flag bit 0 of the directory entry
    path.write_bytes(raw)
    with pytest.raises(
        DataError, match=r"a\.jpg in .*x\.zip is encrypted\. Make the archive again without a password"
    ):
        open_images(path).read("a.jpg")


def test_an_unsupported_compression_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"data"}, method=zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match=r"a\.jpg in .*x\.zip is compressed with method 14\."):
        open_images(path).read("a.jpg")


def test_a_member_that_inflates_beyond_its_declared_size_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": bytes(10**6)}, method=zipfile.ZIP_DEFLATED)
    _declare_size(path, 100)
    with pytest.raises(DataError, match="is damaged"):
        open_images(path).read("a.jpg")


def test_an_absurd_declared_size_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"small"}, method=zipfile.ZIP_DEFLATED)
    _declare_size(path, MAX_FILE_BYTES + 1)
    with pytest.raises(DataError, match=rf"claims {MAX_FILE_BYTES + 1} bytes"):
        open_images(path).read("a.jpg")


def _declare_size(path: Path, size: int) -> None:
    raw = bytearray(path.read_bytes())
    struct.pack_into("<I", raw, raw.index(b"PK\x01\x02") + 24, size)
    path.write_bytes(raw)


def test_processes_read_side_by_side_from_one_source(tmp_path: Path) -> None:
    files = {f"{i}.jpg": bytes([i]) * 5000 for i in range(100)}
    source = open_images(_zip(tmp_path / "x.zip", files))
    source.read("0.jpg")  # the descriptor is open before the fork
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(source.read, files, chunksize=5) == list(files.values())


def test_a_pickled_source_opens_the_archive_for_itself(tmp_path: Path) -> None:
    source = open_images(_zip(tmp_path / "x.zip", _FILES))
    source.read("a.jpg")
    copy = pickle.loads(pickle.dumps(source))  # noqa: S301
    del source  # closes its descriptor
    assert _read_all(copy) == _FILES


def test_a_source_holds_one_descriptor_and_gives_it_back(tmp_path: Path) -> None:
    before = _num_descriptors()
    source = open_images(_zip(tmp_path / "x.zip", _FILES))
    for _ in range(3):
        _read_all(source)
    assert _num_descriptors() == before + 1
    del source
    assert _num_descriptors() == before


def _num_descriptors() -> int:
    try:
        return len(list(Path("/proc/self/fd").iterdir()))
    except FileNotFoundError:
        pytest.skip("needs /proc")


def test_a_member_that_the_directory_calls_by_another_s_name_is_refused(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.jpg": b"alpha", "b.jpg": b"beta", "c.jpg": b"gamma"})
    raw = path.read_bytes()
    start = raw.index(b"PK\x01\x02")  # of the directory
    marked = raw[start:].replace(b"a.jpg", b"<first>")
    exchanged = marked.replace(b"b.jpg", b"a.jpg").replace(b"<first>", b"b.jpg")
    path.write_bytes(raw[:start] + exchanged)
    source = open_images(path)
    with pytest.raises(DataError, match=r"a\.jpg in .*x\.zip cannot be read: it calls itself 'b\.jpg'"):
        source.read("a.jpg")
    assert source.read("c.jpg") == b"gamma"


def test_names_in_every_encoding_of_archives_are_found(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"öl.jpg": b"utf-8", "plain.jpg": b"ascii"})
    assert open_images(path).read("öl.jpg") == b"utf-8"
    raw = _zip(path, {"o_.jpg": b"cp437"}).read_bytes()
    path.write_bytes(raw.replace(b"o_.jpg", b"\x94_.jpg"))
    assert open_images(path).read("ö_.jpg") == b"cp437"
    unsaid = bytearray(_zip(path, {"öl.jpg": b"marked"}).read_bytes())
    unsaid[7] &= ~8  # the member's own header does not say that its name is UTF-8; the directory does
    path.write_bytes(unsaid)
    assert open_images(path).read("öl.jpg") == b"marked"
