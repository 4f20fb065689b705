"""What a path is taken for, and what is said where that is not clear."""

from pathlib import Path

import pytest

from hrdet_cli.engine.data.formats.source import CocoFile
from hrdet_cli.engine.data.formats.voc import VocPart
from hrdet_cli.engine.data.formats.yolo import YoloPart
from hrdet_cli.errors import DataError
from hrdet_cli.runs.annotation_sources import find_parts, find_source, names_validation, recognise
from hrdet_cli.runs.yolo_yaml import read_yolo_yaml
from hrdet_cli.specs.data import DatasetSpec

YAML = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    root = tmp_path / "yolo"
    for part in ("train", "val"):
        (root / "images" / part).mkdir(parents=True)
    (root / "data.yaml").write_text(YAML)
    return root


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    root = tmp_path / "devkit" / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    for name in ("train", "val", "trainval"):
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("a\n")
    return root


def _spec(path: Path, split: str | None = None, images: Path | None = None) -> DatasetSpec:
    return DatasetSpec(annotations=path, images=images, split=split)


def test_a_part_of_an_experiment_takes_the_split_of_its_name_or_the_one_that_is_named(
    yolo: Path, voc: Path
) -> None:
    for path in (yolo, yolo / "data.yaml"):
        source = find_source(_spec(path), "val")
        assert isinstance(source, YoloPart)
        assert (source.split, source.places) == ("val", (yolo / "images" / "val",))
        assert source.class_names == ("cat", "dog")
        assert names_validation(path)
    source = find_source(_spec(voc, "trainval"), "train")
    assert isinstance(source, VocPart)
    assert source.image_set == voc / "ImageSets" / "Main" / "trainval.txt"
    assert [part.split for part in find_parts(voc, None, None)] == ["train", "val"]
    coco = find_source(_spec(voc / "a.json", images=voc), "train")
    assert coco == CocoFile(voc / "a.json", voc)


def test_a_folder_of_documents_and_pictures_is_one_part(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotation/>")
    source = find_source(_spec(tmp_path), "val")
    assert isinstance(source, VocPart)
    assert (source.split, source.image_set, source.documents) == (None, None, tmp_path)
    assert not names_validation(tmp_path)


def test_what_does_not_go_together_is_refused_with_what_to_write(yolo: Path, voc: Path) -> None:
    (voc / "ImageSets" / "Main" / "val.txt").unlink()
    cases = [
        (_spec(yolo, "test"), "has no part 'test'; there are: train, val"),
        (_spec(voc), "has no part val; there are: train, trainval. Name one: --set data.val.split=NAME"),
        (_spec(voc, "x"), "has no image set 'x'"),
        (_spec(yolo, images=voc), "Take it out: --set data.val.images=null"),
        (_spec(voc / "a.json", "test", voc), "is a COCO file, which has no parts"),
        (_spec(voc.parent), f"is no data set itself; give {voc}"),
        (_spec(yolo / "images"), "is a folder without a .yaml file as YOLO's"),
    ]
    for spec, message in cases:
        with pytest.raises(DataError) as caught:
            find_source(spec, "val")
        assert message in str(caught.value)


def test_a_folder_that_could_be_several_data_sets_is_refused(yolo: Path) -> None:
    (yolo / "a.xml").write_text("<annotation/>")
    with pytest.raises(DataError, match=r"could be several data sets: it has data.yaml, and VOC's XML"):
        recognise(yolo)
    (yolo / "a.xml").unlink()
    (yolo / "other.yml").write_text(YAML)
    with pytest.raises(DataError, match=r"it has data.yaml, other.yml\. Give the .yaml file itself"):
        recognise(yolo)


def test_names_may_be_a_mapping_and_paths_start_at_path(yolo: Path) -> None:
    text = f"path: {yolo}\ntrain: [images/train, images/val]\nnc: 2\nnames:\n  1: dog\n  0: cat\n"
    (yolo.parent / "other.yaml").write_text(text)
    part = read_yolo_yaml(yolo.parent / "other.yaml").part("train")
    assert part.class_names == ("cat", "dog")
    assert part.places == (yolo / "images" / "train", yolo / "images" / "val")


def test_a_path_that_roboflow_writes_one_folder_too_high_is_found_and_told(yolo: Path) -> None:
    (yolo / "data.yaml").write_text("train: ../images/train\nvalidation: ../images/val\nnames: [a]\n")
    part = read_yolo_yaml(yolo / "data.yaml").part("val")
    assert part.places == (yolo / "images" / "val",)
    assert part.remarks == (
        f"val: ../images/val is not there, {yolo / 'images' / 'val'} was taken, as ultralytics does",
    )


def test_paths_of_windows_and_a_number_of_classes_that_is_left_open_are_read(yolo: Path) -> None:
    (yolo / "data.yaml").write_bytes(
        b"\xef\xbb\xbfpath: .\\images\r\ntrain: .\\train\r\nnames: [a]\r\nnc:\r\n"
    )
    assert read_yolo_yaml(yolo / "data.yaml").part("train").places == (yolo / "images" / "train",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: images/train\nnames: [a]\nnc: 2\n", "nc is 2, but names has 1"),
        (
            "train: images/train\nnames: {0: a, 2: b}\n",
            "names has the labels 0, 2; expected each from",
        ),
        ("train: images/train\nnc: 2\n", "names is null; expected the names of the classes"),
        ("names: [a]\n", "names no pictures: train and val are missing"),
        ("train: 3\nnames: [a]\n", "train is 3; expected a folder, a text or a list of them"),
        ("path: /nowhere\ntrain: a\nnames: [a]\n", "path /nowhere is no folder"),
        ("model: {}\n", "is YAML with the keys model, not YOLO's data.yaml"),
        ("train: [\n", "not valid YAML"),
        ("train: a\nnames: [a]\nkpt_shape: [17, 3]\n", "has keypoints"),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_one_error(yolo: Path, text: str, message: str) -> None:
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(DataError) as caught:
        read_yolo_yaml(yolo / "data.yaml")
    assert message in str(caught.value)


@pytest.mark.parametrize("written", ["photos", "9" * 400])
def test_a_part_whose_folder_is_not_there_is_an_error(yolo: Path, written: str) -> None:
    (yolo / "data.yaml").write_text(f"train: '{written}'\nnames: [a]\n")
    with pytest.raises(
        DataError, match=r"train is (photos|9+\.\.\.9+), but .* (does not|cannot be).*Mend train"
    ):
        read_yolo_yaml(yolo / "data.yaml").part("train")
