import zipfile
from pathlib import Path

import pytest

from hrdet_cli.errors import DataError, OutputError
from hrdet_cli.runs.predict.inputs import FoundInputs, describe_skipped, find_pictures


def make_files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def make_archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.encode())
    return path


def drawn_by_name(found: FoundInputs) -> dict[str, str]:
    return {picture.name: str(picture.drawn) for picture in found.pictures}


def test_a_folder_is_searched_with_its_subfolders_and_other_files_are_counted(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "b.jpg", "sub/deep/a.PNG", "notes.txt", "labels.json", "README")
    found = find_pictures([folder], drawn=tmp_path / "drawn")
    assert drawn_by_name(found) == {"b.jpg": "b.jpg", "sub/deep/a.PNG": "sub/deep/a.png"}
    assert [picture.number for picture in found.pictures] == [1, 2]
    assert found.skipped == {".json": 1, ".txt": 1, "without ending": 1}


def test_each_picture_is_read_from_where_it_was_found(tmp_path: Path) -> None:
    folder = make_files(tmp_path / "in", "1.jpg", "sub/1.jpg")
    archive = make_archive(tmp_path / "more.zip", "1.jpg", "x/2.jpg")
    found = find_pictures([folder, archive, folder / "1.jpg"], drawn=tmp_path / "drawn")
    read = {picture.name: picture.images.read(picture.member).decode() for picture in found.pictures}
    assert read == {
        f"{folder}/1.jpg": "1.jpg",
        f"{folder}/sub/1.jpg": "sub/1.jpg",
        f"{archive}/1.jpg": "1.jpg",
        f"{archive}/x/2.jpg": "x/2.jpg",
    }, "and the one that was named twice is there once"


def test_a_file_named_itself_is_tried_whatever_it_is_called(tmp_path: Path) -> None:
    make_files(tmp_path, "photo", "notes.txt")
    found = find_pictures([tmp_path / "photo", tmp_path / "notes.txt"], drawn=tmp_path / "drawn")
    assert list(drawn_by_name(found).values()) == ["photo.jpg", "notes.jpg"]


@pytest.mark.parametrize(
    ("member", "drawn"),
    [
        ("../../evil.jpg", "evil.jpg"),
        ("/etc/passwd.jpg", "etc/passwd.jpg"),
        ("C:\\windows\\..\\x.jpg", "C_/windows/x.jpg"),
        ("a/./b//c.jpeg", "a/b/c.jpg"),
        ("日本/写真 1.webp", "日本/写真 1.jpg"),
        (".hidden.jpg", "hidden.jpg"),
        ("...bmp", "bmp.png"),
        ("what?.gif", "what_.png"),
        ("x" * 400 + ".tif", "x" * 200 + ".jpg"),
    ],
)
def test_drawn_pictures_stay_in_their_folder_whatever_an_archive_calls_them(
    tmp_path: Path, member: str, drawn: str
) -> None:
    archive = make_archive(tmp_path / "in.zip", member)
    assert drawn_by_name(find_pictures([archive], drawn=tmp_path / "drawn")) == {member: drawn}


def test_names_that_some_file_system_takes_for_the_same_get_numbers(tmp_path: Path) -> None:
    names = ["A/B.jpg", "a.jpg", "a.jpg/c.jpg", "a/b.JPG", "a/b.tif", "e\u0301.jpg", "\u00e9.jpg"]
    archive = make_archive(tmp_path / "in.zip", *names)
    drawn = drawn_by_name(find_pictures([archive], drawn=tmp_path / "drawn"))
    assert drawn == {
        "A/B.jpg": "A/B.jpg",
        "a.jpg": "a-2.jpg",  # a.jpg is a folder
        "a.jpg/c.jpg": "a.jpg/c.jpg",
        "a/b.JPG": "a/b-2.jpg",
        "a/b.tif": "a/b-3.jpg",
        "e\u0301.jpg": "e\u0301.jpg",
        "\u00e9.jpg": "\u00e9-2.jpg",
    }


def test_pictures_drawn_before_are_not_looked_at_again(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "1.jpg", "out/drawn/1.jpg")
    found = find_pictures([folder], drawn=folder / "out" / "drawn")
    assert [picture.name for picture in found.pictures] == ["1.jpg"]


def test_what_an_earlier_call_drew_beside_its_document_is_not_looked_at(tmp_path: Path) -> None:
    folder = make_files(tmp_path, "1.jpg", "old/detections.json", "old/drawn/sub/1.jpg", "drawn/2.jpg")
    found = find_pictures([folder], drawn=tmp_path / "out" / "drawn")
    assert list(drawn_by_name(found)) == ["1.jpg", "drawn/2.jpg"], "a folder of that name may be the user's"


def test_an_address_is_not_taken_for_a_path(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^https:/example\.org/1\.jpg: is an address; fetch the pictures first"
    ):
        find_pictures([Path("https://example.org/1.jpg")], drawn=tmp_path / "drawn")


def test_a_source_that_could_be_drawn_over_is_refused(tmp_path: Path) -> None:
    make_files(tmp_path, "drawn/1.jpg")
    for source in (tmp_path / "drawn", tmp_path / "drawn" / "1.jpg"):
        with pytest.raises(OutputError, match=r"where pictures are drawn; choose another --out"):
            find_pictures([source], drawn=tmp_path / "drawn")


def test_what_does_not_exist_or_holds_no_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: does not exist; name pictures, folders or"):
        find_pictures([tmp_path / "nowhere"], drawn=tmp_path / "drawn")
    folder = make_files(tmp_path / "in", "a.txt", "b.json")
    with pytest.raises(
        DataError, match=r"in: holds no picture that can be read here \(2 files: 1 \.json, 1 \.txt\)"
    ):
        find_pictures([folder], drawn=tmp_path / "drawn")
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"broken\.zip is neither a folder nor a ZIP archive"):
        find_pictures([tmp_path / "broken.zip"], drawn=tmp_path / "drawn")


def test_every_format_that_can_be_read_here_is_looked_at_and_the_others_are_named(tmp_path: Path) -> None:
    pictures = ["a.webp", "b.TIF", "c.jfif", "d.jp2", "e.ppm", "f.tga", "g.JPE", "h.mpo", "i.ico", "j.qoi"]
    others = [
        "1.heic",
        "2.HEIC",
        "clip.mp4",
        "data.h5",
        "note.txt",
        ".DS_Store",
        "sub/._a.webp",
        "x.tar",
        "y.ps",
    ]
    for source in (
        make_files(tmp_path / "in", *pictures, *others),
        make_archive(tmp_path / "in.zip", *pictures, *others),
    ):
        found = find_pictures([source], drawn=tmp_path / "drawn")
        assert [picture.name for picture in found.pictures] == sorted(pictures)
        assert describe_skipped(found.skipped) == (
            "9 files: 2 .heic, 2 hidden, 1 .h5, 1 .mp4, 1 .ps and 2 more"
        )
        assert list(found.notices()) == [
            "skipped 2 files: 2 .heic: convert them to JPEG or PNG first",
            "skipped 1 file: 1 .mp4: take pictures out of them first",
            "skipped 1 file: 1 .tar: unpack them first",
        ]


def test_a_link_that_leads_nowhere_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("gone.jpg")
    with pytest.raises(
        DataError, match=r"a\.jpg: is a symbolic link to gone\.jpg, which does not exist; name"
    ):
        find_pictures([tmp_path / "a.jpg"], drawn=tmp_path / "drawn")
