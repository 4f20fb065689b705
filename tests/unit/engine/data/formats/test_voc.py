"""Pascal VOC's data sets."""

from pathlib import Path

import pytest
from PIL import Image

from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.formats.voc import VocPart
from hrdet_cli.engine.data.formats.voc_xml import read_voc_xml
from hrdet_cli.errors import DataError


def _object(name: str, corners: tuple[float, ...], more: str = "") -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, corners, strict=True))
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def _document(*objects: str, size: str = "<size><width>60</width><height>40</height></size>") -> str:
    return f"<annotation><filename>x.jpg</filename>{size}{''.join(objects)}</annotation>"


def _part(root: Path, documents: dict[str, str], image_set: str | None = None) -> VocPart:
    for folder in ("Annotations", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in documents.items():
        (root / "Annotations" / f"{name}.xml").write_text(text)
        Image.new("RGB", (60, 40)).save(root / "JPEGImages" / f"{name}.jpg")
    if image_set is not None:
        (root / "set.txt").write_text(image_set)
    listed = None if image_set is None else root / "set.txt"
    split = None if image_set is None else "train"
    return VocPart(root, split, root / "Annotations", root / "JPEGImages", listed)


def test_corners_are_pixels_counted_from_1_that_belong_to_the_box(tmp_path: Path) -> None:
    # The whole picture of 60x40 is 1 to 60 and 1 to 40.
    text = _document(_object("dog", (1, 1, 60, 40)), _object("cat", (11, 6, 20.5, 15)))
    found = load_annotations(_part(tmp_path, {"a": text}))
    assert found.boxes.tolist() == [[0, 0, 60, 40], [10, 5, 20.5, 15]]
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [1, 0]
    assert found.file_names.tolist() == ["a.jpg"]


def test_difficult_objects_are_crowd_regions_and_parts_are_no_objects(tmp_path: Path) -> None:
    part_of_it = "<part><name>head</name><bndbox><xmin>2</xmin></bndbox></part>"
    text = _document(
        _object("dog", (1, 1, 9, 9), "<difficult>1</difficult>"), _object("dog", (1, 1, 30, 30), part_of_it)
    )
    found = load_annotations(_part(tmp_path, {"a": text}))
    assert found.is_crowd.tolist() == [True, False]
    assert found.class_names == ("dog",)
    assert any(note.startswith("1 difficult object: crowd regions") for note in found.notes)


def test_all_parts_have_the_classes_of_all_documents_or_those_that_a_list_gives(tmp_path: Path) -> None:
    documents = {"a": _document(_object("dog", (1, 1, 9, 9))), "b": _document(_object("cat", (1, 1, 9, 9)))}
    part = _part(tmp_path, documents, "a\n")
    found = load_annotations(part)
    assert len(found) == 1
    assert found.class_names == ("cat", "dog")
    (tmp_path / "classes.txt").write_text("dog\nbird\n")
    again = load_annotations(part)
    assert again.class_names == ("dog", "bird")
    assert again.fingerprint == part.fingerprint() != found.fingerprint
    (tmp_path / "classes.txt").write_text("bird\n")
    message = r"Annotations/a.xml: object 1 \(dog\): classes.txt does not list 'dog'"
    with pytest.raises(DataError, match=message):
        load_annotations(part)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation>", "is not well-formed XML: no element found"),
        ("<annotations/>", "is not VOC's XML: its root is <annotations>"),
        (
            _document(size="<size><width>a</width></size>"),
            "size: height '', width 'a'; expected whole",
        ),
        (
            _document("<object><name>dog</name></object>"),
            "object 1 (dog): bndbox is missing",
        ),
        (_document(_object("", (1, 1, 9, 9))), "object 1: name is missing"),
        (_document(_object("dog", ("x", 1, 9, 9))), "object 1 (dog): bndbox/xmin is 'x'; expected a number"),  # type: ignore[arg-type]  # what is wrong
        (
            _document(_object("dog", (float("nan"), 1, 9, 9))),
            "object 1 (dog): bndbox/xmin is 'nan'",
        ),
        (
            _document(_object("dog", (1, 1, 9, 9), "<difficult>2</difficult>")),
            "object 1 (dog): difficult is '2'; expected 0 or 1",
        ),
    ],
)
def test_a_faulty_document_is_named_with_its_element(tmp_path: Path, text: str, message: str) -> None:
    part = _part(tmp_path, {"a": text, "b": _document(_object("dog", (1, 1, 9, 9)))})
    with pytest.raises(DataError) as caught:
        load_annotations(part)
    assert f"Annotations/a.xml: {message}" in str(caught.value)


def test_a_doctype_is_refused_before_its_entities_are_read() -> None:
    lol = '<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><annotation>&b;</annotation>'
    with pytest.raises(ValueError, match=r"has a DOCTYPE \(annotation\)"):
        read_voc_xml(lol.encode())
    with pytest.raises(ValueError, match="has a DOCTYPE"):
        read_voc_xml(b'<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>')


def test_what_a_set_names_and_is_not_there_is_told_and_left_out(tmp_path: Path) -> None:
    part = _part(tmp_path, {"a": _document(_object("dog", (1, 1, 9, 9)))}, "a\nb\n")
    log = ProblemLog(num_described=None)
    assert len(part.read_whole(log).content["images"]) == 1
    assert [str((problem.file, problem.what)) for problem in log.described()] == [
        "('Annotations/b.xml', 'is not there')"
    ]


@pytest.mark.parametrize(
    ("image_set", "message"),
    [
        ("", "is empty"),
        ("a\na\n", "names 1 picture twice: a"),
        ("a -1\n", "is the image set of one class"),
        ("a\n../b\n", r"line 2: '\.\./b'; expected a path inside the image root"),
        ("a\0\n", "line 1: .*; expected a path inside the image root"),
    ],
)
def test_an_image_set_that_cannot_be_meant_is_refused(tmp_path: Path, image_set: str, message: str) -> None:
    part = _part(tmp_path, {"a": _document(_object("dog", (1, 1, 9, 9)))}, image_set)
    with pytest.raises(DataError, match=message):
        load_annotations(part)


def test_a_name_may_end_in_a_number(tmp_path: Path) -> None:
    document = _document(_object("dog", (1, 1, 9, 9)))
    part = _part(tmp_path, {"frame 1": document, "frame 2": document}, "frame 1\r\nframe 2\r\n")
    assert load_annotations(part).file_names.tolist() == ["frame 1.jpg", "frame 2.jpg"]


@pytest.mark.parametrize("image_set", [None, "a\nb\n"])
def test_an_ending_may_be_in_capitals(tmp_path: Path, image_set: str | None) -> None:
    part = _part(tmp_path, {name: _document(_object(name, (1, 1, 9, 9))) for name in "ab"}, image_set)
    document = tmp_path / "Annotations" / "a.xml"
    document.rename(document.with_suffix(".XML"))
    assert load_annotations(part).file_names.tolist() == ["a.jpg", "b.jpg"]
    document.write_text(_document())
    if image_set is None:
        with pytest.raises(DataError, match="names 1 picture twice: a"):
            load_annotations(part)


def test_a_document_without_a_size_has_its_pictures(tmp_path: Path) -> None:
    texts = {"a": _document(_object("dog", (1, 1, 9, 9)), size=""), "b": _document()}
    part = _part(tmp_path, texts)
    found = load_annotations(part)
    assert found.sizes.tolist() == [[40, 60], [40, 60]]
    assert "1 document without a size: the picture's own was taken" in found.notes
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"a\.xml: has no size, and picture x\.jpg does not exist"):
        load_annotations(part)


def test_of_pictures_with_one_name_filename_says_which(tmp_path: Path) -> None:
    text = _document(_object("dog", (1, 1, 9, 9))).replace("x.jpg", "a.png")
    part = _part(tmp_path, {"a": text})
    Image.new("RGB", (60, 40)).save(tmp_path / "JPEGImages" / "a.png")
    assert load_annotations(part).file_names.tolist() == ["a.png"]
