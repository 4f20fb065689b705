"""YOLO's data sets, read as ultralytics lays them out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from hrdet_cli.engine.data.checking.annotations import check_annotations
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.formats.yolo import YoloPart, label_file_of
from hrdet_cli.errors import DataError

NAMES = ("cat", "dog")


def _part(root: Path, labels: dict[str, str | None], *, size: tuple[int, int] = (200, 100)) -> YoloPart:
    """Pictures of (width, height) by name, each with its labels; None writes no label file."""
    for name, text in labels.items():
        picture = root / "images" / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(picture)
        if text is not None:
            label_file_of(picture).parent.mkdir(parents=True, exist_ok=True)
            label_file_of(picture).write_text(text)
    return YoloPart(root / "data.yaml", "train", (root / "images",), NAMES)


def test_boxes_are_centres_and_edges_in_shares_and_polygons_have_the_box_around_them(tmp_path: Path) -> None:
    part = _part(tmp_path, {"b.jpg": "1 0.5 0.5 0.25 0.5\n", "a/c.png": "0 0.1 0.2 0.3 0.2 0.3 0.8\n\n"})
    found = load_annotations(part, with_masks=False, with_truth=True)
    assert found.file_names.tolist() == ["a/c.png", "b.jpg"]
    assert found.class_names == NAMES
    assert found.sizes.tolist() == [[100, 200], [100, 200]]
    # Of 200x100 the first is x 0.1 to 0.3 and y 0.2 to 0.8, the second 50x50 around the middle.
    assert found.boxes.tolist() == [[20, 20, 60, 80], [75, 25, 125, 75]]
    assert found.labels.tolist() == [0, 1]
    assert found.title == f"{tmp_path / 'data.yaml'} (train)"


def test_a_polygon_is_a_mask(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a.png": "0 0.1 0.2 0.3 0.2 0.3 0.8 0.1 0.8\n0 0.5 0.5 0.2 0.2\n"})
    found = load_annotations(part, with_masks=True)
    assert found.dropped_boxes == {"without a mask": 1}
    assert found.boxes.tolist() == [[20, 20, 60, 80]]


def test_a_picture_without_a_label_file_has_no_objects_and_is_told(tmp_path: Path) -> None:
    found = load_annotations(_part(tmp_path, {"a.png": "0 0.5 0.5 0.2 0.2", "b.png": None, "c.png": ""}))
    assert found.num_boxes.tolist() == [1, 0, 0]
    assert "1 picture of train without a label file: taken for pictures without objects" in found.notes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(tmp_path: Path, end: str) -> None:
    # In one line, three boxes of classes that are shares would be a polygon.
    part = _part(tmp_path, {"a.png": ""})
    text = end.join(["\ufeff0 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.4 0.4", "0 0.2 0.2 0.1 0.1", ""])
    (tmp_path / "labels" / "a.txt").write_bytes(text.encode())
    assert load_annotations(part).labels.tolist() == [0, 1, 0]
    (tmp_path / "list.txt").write_bytes(f"\ufeff./images/a.png{end}".encode())
    listed = YoloPart(part.path, "train", (tmp_path / "list.txt",), NAMES)
    assert load_annotations(listed).file_names.tolist() == ["a.png"]


def test_a_list_of_windows_and_a_picture_that_is_not_there(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a.png": "0 0.5 0.5 0.2 0.2"})
    (tmp_path / "list.txt").write_text(".\\images\\a.png\r\n")
    listed = YoloPart(part.path, "train", (tmp_path / "list.txt",), NAMES)
    assert load_annotations(listed).file_names.tolist() == ["a.png"]
    (tmp_path / "list.txt").write_text("images/a.png\n")
    with pytest.raises(
        DataError, match=r"train lists .*images/a\.png, which is not there, nor any label file"
    ):
        load_annotations(listed)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.2", "has 4 values; expected class, x, y, width, height, or class and the x and y of"),
        ("0 0.5 0.5 0.2 0.2 0.9", "has 6 values: class, box and what looks like a score"),
        ("0 0.5 0.5 0.2 0.2 0.9 0.1 0.1", "has 8 values; expected class"),
        ("cat 0.5 0.5 0.2 0.2", "'cat 0.5 0.5 0.2 0.2' is not all numbers"),
        ("2 0.5 0.5 0.2 0.2", "class 2 is not in names, which has 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5 is not in names"),
        ("-1 0.5 0.5 0.2 0.2", "class -1 is not in names"),
        (
            "0 320 240 64 48",
            "320 is not from 0 to 1: coordinates are shares of the picture",
        ),
        ("0 nan 0.5 0.2 0.2", "nan is not from 0 to 1"),
    ],
)
def test_a_faulty_line_is_named_with_its_number(tmp_path: Path, line: str, message: str) -> None:
    part = _part(tmp_path, {"a.png": f"0 0.5 0.5 0.2 0.2\n{line}\n"})
    with pytest.raises(DataError) as caught:
        load_annotations(part)
    assert f"labels/a.txt: line 2: {message}" in str(caught.value)
    assert "--split train --fix-out mended.json mends what it can" in str(caught.value)


def test_what_is_wrong_with_boxes_is_told_of_their_lines(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a.png": "0 0.95 0.5 0.2 0.2\n0 0.5 0.5 0 0.5\nx\n"})
    log = ProblemLog(num_described=None)
    file = part.read_whole(log)
    assert [(problem.file, problem.item) for problem in log.described()] == [("labels/a.txt", "line 3")]
    assert file.content["annotations"][0]["bbox"] == [170, 40, 40, 20]
    checked = check_annotations(file, log)
    assert [checked.annotations.entries.item(row) for row in (0, 1)] == ["line 1", "line 2"]
    assert checked.annotations.entries.file_of(1) == "labels/a.txt"


def test_the_last_folder_of_a_path_that_is_called_images_becomes_labels() -> None:
    # As ultralytics' img2label_paths: "labels".join(path.rsplit("images", 1)), of whole names of folders.
    assert label_file_of(Path("/images/x/images/train/a.b.jpg")) == Path("/images/x/labels/train/a.b.txt")
    assert label_file_of(Path("/x/my-images/a.jpg")) == Path("/x/my-images/a.txt")


def test_no_label_file_at_all_is_an_error_that_says_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 1 picture of train has a label file.*labels/a\.txt"):
        load_annotations(_part(tmp_path, {"a.png": None}))


def test_a_picture_that_exif_turns_has_the_size_that_people_see(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a.png": "0 0.25 0.5 0.5 0.5\n"})
    image = Image.new("RGB", (200, 100))
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = 6
    (tmp_path / "images" / "a.png").unlink()
    image.save(tmp_path / "images" / "a.jpg", exif=exif)
    found = load_annotations(part)
    assert found.sizes.tolist() == [[200, 100]]
    assert found.boxes.tolist() == [[0, 50, 50, 150]]


def test_a_picture_without_a_header_and_a_label_file_that_is_no_text_are_told(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a.png": "0 0.5 0.5 1 1", "b.png": "", "c.png": ""})
    (tmp_path / "images" / "b.png").write_bytes(b"GIF8 no")
    (tmp_path / "labels" / "c.txt").write_bytes(b"0 \xff")
    with pytest.raises(DataError) as caught:
        load_annotations(part)
    assert "b.png: is a GIF picture" in str(caught.value)
    assert "labels/c.txt: is no text in UTF-8 (byte 2)" in str(caught.value)


def test_a_text_lists_pictures_from_its_own_folder(tmp_path: Path) -> None:
    _part(tmp_path, {"a.png": "0 0.5 0.5 1 1", "b/c.png": ""})
    (tmp_path / "some.txt").write_text("./images/b/c.png\n\n./images/a.png\n")
    part = YoloPart(tmp_path / "data.yaml", "train", (tmp_path / "some.txt",), NAMES)
    assert load_annotations(part).file_names.tolist() == ["a.png", "b/c.png"]
    assert part.images == tmp_path / "images"
    (tmp_path / "some.txt").write_text("./images/a.png\n./images/a.png\n")
    with pytest.raises(DataError, match="has 1 picture twice"):
        load_annotations(part)


def test_the_fingerprint_follows_labels_names_and_pictures_and_nothing_else(tmp_path: Path) -> None:
    one = _part(tmp_path / "one", {"a.png": "0 0.5 0.5 1 1"})
    same = _part(tmp_path / "two", {"a.png": "0 0.5 0.5 1 1"}, size=(10, 10))
    others = [
        _part(tmp_path / "three", {"a.png": "0 0.5 0.5 1 0.9"}),
        _part(tmp_path / "four", {"b.png": "0 0.5 0.5 1 1"}),
        YoloPart(one.path, one.split, one.places, ("dog", "cat")),
    ]
    assert one.fingerprint() == same.fingerprint() == load_annotations(one).fingerprint
    assert len({one.fingerprint(), *(other.fingerprint() for other in others)}) == 4


def test_coordinates_survive_being_shares(tmp_path: Path) -> None:
    boxes = np.random.default_rng(0).uniform(1, 60, (50, 4)).round(2).tolist()
    shares = [[(x + w / 2) / 200, (y + h / 2) / 100, w / 200, h / 100] for x, y, w, h in boxes]
    text = "".join(f"0 {' '.join(map(repr, line))}\n" for line in shares)
    reading = _part(tmp_path, {"a.png": text}).read_entries()
    assert [entry.bbox for entry in reading.annotations] == boxes
