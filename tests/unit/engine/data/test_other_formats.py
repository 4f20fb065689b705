import json
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.engine.data.checking.annotations import read_json
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.other_formats import format_of, format_of_text, wrong_format
from hrdet_cli.errors import DataError

_NAME_BY_TEXT = {
    "0 0.5 0.5 0.1 0.1\n": "YOLO's labels of one picture",
    "0 .5 0.5 1e-1 0.1\n12 0 0 1 1\n": "YOLO's labels of one picture",
    "3 0.1 0.2 0.3 0.2 0.3 0.4 0.1 0.4": "YOLO's labels of one picture",
    "train: a\nval: b\nnc: 1\nnames: [x]\n": "YOLO's data.yaml",
    "path: ../data # root\ntrain: images\nnames:\n  0: person\n": "YOLO's data.yaml",
    "imagesource:GoogleEarth\ngsd:0.1\n1 2 3 4 5 6 7 8 plane 0\n": "DOTA's labels of one picture",
    "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n": (
        "KITTI's labels of one picture"
    ),
    "filename,width,height,class\na.jpg,1,2,cat\n": "a table (CSV)",
    "a.jpg;1;2;cat\nb.jpg;1;2;cat\n": "a table (CSV)",
    "a/1.jpg\nb/2.PNG\n": "a list of picture names",
    '{"a": 1}\n{"a": 2}\n': "JSON Lines, a document a line",
    " \n\t\n": "nothing but white space",
    "{'images': [], 'annotations': []}": "Python's notation and not JSON",
    "preset: demo\ndata:\n  root: x\n": "YAML or the like",
}


@pytest.mark.parametrize(("text", "name"), _NAME_BY_TEXT.items())
def test_a_text_that_is_no_json_is_called_what_it_is(tmp_path: Path, text: str, name: str) -> None:
    known = format_of_text(text.encode())
    assert known is not None
    assert known.name == name
    path = tmp_path / "a.json"
    path.write_text(text)
    for read in (load_coco, read_json):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == wrong_format(path, name, known.remedy)


@pytest.mark.parametrize(
    "text",
    ['{"images": [{"id": 1', '{\n"images": [\n{"id": 1},\n{"id": 2', "1 2", "Hello.", "{images: []}"],
)
def test_broken_json_and_plain_words_are_not_guessed(text: str) -> None:
    assert format_of_text(text.encode()) is None


def test_a_long_file_is_told_by_its_beginning() -> None:
    known = format_of_text(b"0 0.5 0.5 0.1 0.1\n" * 1000)
    assert known is not None
    assert known.name == "YOLO's labels of one picture"


_NAMED: list[tuple[Any, str]] = [
    ({"version": "5.0", "flags": {}, "shapes": [], "imagePath": "a.jpg"}, "LabelMe's JSON of one picture"),
    ({"a.jpg12": {"filename": "a.jpg", "size": 12, "regions": []}}, "VIA's JSON"),
    ({"_via_settings": {}, "_via_img_metadata": {}}, "VIA's JSON"),
    ({"description": "", "objects": [], "size": {}}, "Supervisely's JSON of one picture"),
    ({"info": {}, "categories": {}, "items": []}, "Datumaro's JSON"),
    ({"imgHeight": 1, "imgWidth": 1, "objects": []}, "Cityscapes' JSON of one picture"),
    ({"type": "FeatureCollection", "features": []}, "GeoJSON"),
    ({"metainfo": {}, "data_list": []}, "mmdetection's own JSON"),
    ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "a list of detections"),
    ([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}], "COCO's list of annotations alone"),
    ([{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {}}]}], "CreateML's JSON"),
    ([{"id": 1, "data": {}, "annotations": []}], "Label Studio's own JSON"),
    ([{"filename": "a.jpg", "width": 1, "height": 1, "ann": {}}], "mmdetection's own JSON"),
    ([{"file_name": "a.jpg", "annotations": []}], "a list of pictures as detectron2 has it"),
    ([{"name": "a", "labels": []}], "BDD100K's JSON"),
    ([{"data_row": {}}], "Labelbox's own JSON"),
    ([1, 2], "a JSON list (2 items)"),
    ([{"a": 1, "b": 2}], "a JSON list (an object with the keys a, b first)"),
    (3, "JSON, but one value (3) and no object"),
    ({}, "JSON, but an object that is empty"),
    ({"a": 1, "b": 2}, "JSON, but an object with the keys a, b"),
    ({"images": [], "categories": []}, "a list of pictures without annotations"),
    ({"images": [], "annotations": [{"id": 1, "image_id": 1, "caption": "x"}]}, "COCO's captions"),
    (
        {"images": [], "annotations": [{"segments_info": []}], "categories": []},
        "COCO's panoptic annotations",
    ),
]


@pytest.mark.parametrize(("content", "name"), _NAMED)
def test_json_of_another_format_is_called_what_it_is(tmp_path: Path, content: Any, name: str) -> None:
    known = format_of(content)
    assert known is not None
    assert known.name.startswith(name)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        load_coco(path)
    assert str(caught.value) == wrong_format(path, known.name, known.remedy)


@pytest.mark.parametrize(
    "content",
    [
        {"images": [], "annotations": [], "categories": []},
        {"images": [], "annotations": [], "categories": [], "shapes": [], "items": [], "frames": []},
        {"images": [], "annotations": [{"caption": "x", "bbox": []}], "categories": []},
        {"images": [], "annotations": []},
        {"annotations": 3},
    ],
)
def test_what_may_be_a_coco_file_is_left_to_the_checks(content: Any) -> None:
    assert format_of(content) is None
