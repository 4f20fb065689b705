"""Names that are spelt otherwise than their files are found where only one file can be meant."""

import pickle
import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.errors import DataError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Café 1.jpg") for form in ("NFC", "NFD"))


def source_of(root: Path, files: Sequence[str], *, is_zip: bool) -> ImageSource:
    """A folder or an archive whose files hold their own names."""
    if is_zip:
        with zipfile.ZipFile(root / "x.zip", "w") as archive:
            for file in files:
                archive.writestr(file, file.encode())
        return open_images(root / "x.zip")
    for file in files:
        path = root / "folder" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.encode())
    return open_images(root / "folder")


both = pytest.mark.parametrize("is_zip", [False, True])


@both
@pytest.mark.parametrize(
    ("name", "file", "way"),
    [
        (COMPOSED, DECOMPOSED, "Unicode form"),
        (DECOMPOSED, COMPOSED, "Unicode form"),
        ("a%20b%C3%A9.jpg", "a bé.jpg", "URL encoding"),
        ("a b.jpg", "a%20b.jpg", "URL encoding"),
        ("sub\\1.jpg", "sub/1.jpg", "slashes"),
        ("sub/1.jpg", "sub\\1.jpg", "slashes"),
        ("images/train/1.jpg", "1.jpg", "folders"),
        ("train/1.jpg", "sub/train/1.jpg", "folders"),
        (f"sub\\{DECOMPOSED}".replace(" ", "%20"), f"sub/{COMPOSED}", "several ways"),
    ],
)
def test_a_name_that_can_mean_only_one_file_is_found_and_said(
    tmp_path: Path, is_zip: bool, name: str, file: str, way: str
) -> None:
    source = source_of(tmp_path, [file, "other/2.jpg"], is_zip=is_zip)
    found = source.find([name, "other/2.jpg"])
    assert (found.missing, found.contradictory) == ([], [])
    assert list(found.notes()) == [
        f"1 name found though the file's differs in {way}, such as {name}, which is {file}"
    ]
    for reader in (source, pickle.loads(pickle.dumps(source))):  # noqa: S301
        assert reader.read(name) == file.encode()
        assert reader.read("other/2.jpg") == b"other/2.jpg"


@both
@pytest.mark.parametrize(
    ("names", "files", "hint"),
    [
        (["1.jpg"], ["a/1.jpg", "b/1.jpg"], "there is a/1.jpg, b/1.jpg"),
        (["a%20b.jpg"], ["a b.jpg", "./x/../a%2520b.jpg", "c/a b.jpg"], None),
        (["b/1.jpg", "c/1.jpg"], ["1.jpg", "other/2.jpg"], "there is 1.jpg"),  # which of the two is it?
        (["1.jpg", "a/1.jpg"], ["a/1.jpg", "b/2.jpg"], "there is a/1.jpg"),  # it has a name of its own
        (["1.jpg"], ["1.JPG", "b/2.jpg"], "there is 1.JPG"),
        (["1.jpeg"], ["1.jpg", "b/2.jpg"], "there is 1.jpg"),
        (["a/1.jpg"], ["b/1.jpg", "b/2.jpg"], "there is b/1.jpg"),
        (["nothing.jpg"], ["b/1.jpg", "2.jpg"], ""),
    ],
)
def test_where_another_file_may_be_meant_the_name_is_missing_and_those_there_are_named(
    tmp_path: Path, is_zip: bool, names: list[str], files: list[str], hint: str | None
) -> None:
    if hint is None:
        source = source_of(tmp_path, [files[0]], is_zip=is_zip)
        assert source.find(names).missing == []
        return
    source = source_of(tmp_path, files, is_zip=is_zip)
    missing = [name for name in names if name not in files]
    assert source.find(names).missing == missing
    root = tmp_path / ("x.zip" if is_zip else "folder")
    assert source.why_missing(missing[0]) == f"is not in {root}" + (f"; {hint}" if hint else "")
    with pytest.raises(DataError, match="is not in"):
        source.read(missing[0])


@both
def test_a_file_of_exactly_that_name_goes_before_all_others(tmp_path: Path, is_zip: bool) -> None:
    files = [COMPOSED, DECOMPOSED, "a%20b.jpg", "a b.jpg", "1.jpg", "sub/1.jpg"]
    source = source_of(tmp_path, files, is_zip=is_zip)
    if not is_zip and len(list((tmp_path / "folder").iterdir())) < len(files) - 1:
        pytest.skip("this file system has one name for both Unicode forms")
    found = source.find(files)
    assert (found.missing, dict(found.file_by_name)) == ([], {})
    assert [source.read(file).decode() for file in files] == files


def test_a_name_in_utf_8_that_the_archive_does_not_call_so_is_found(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("Caf__ 1.jpg", b"content")
    raw = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(raw.replace(b"Caf__ 1", "Café 1".encode()))
    source = open_images(tmp_path / "x.zip")
    assert source.find([COMPOSED]).missing == []
    assert source.read(COMPOSED) == b"content"


def test_many_names_are_found_in_seconds(tmp_path: Path) -> None:
    files = [f"train/{number:06}.jpg" for number in range(20_000)]
    source = source_of(tmp_path, files, is_zip=True)
    names = [f"images/train/{number:06}.jpg" for number in range(20_000)]
    found = source.find(names)
    assert found.missing == []
    assert list(found.notes()) == [
        "20,000 names found though the file's differs in folders, such as images/train/000000.jpg, which is "
        "train/000000.jpg"
    ]
