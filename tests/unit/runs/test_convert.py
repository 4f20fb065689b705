"""Annotations go from one format to another and back, and what is lost on the way is counted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.errors import DataError, OutputError, SpecError
from hrdet_cli.runs.annotation_sources import find_parts
from hrdet_cli.runs.convert import ConversionReport, Format, convert_data
from tests.generators import result_of

Content = dict[str, Any]


def _convert(
    sources: Mapping[str, AnnotationSource], to: Format, out: Path, *, as_polygons: bool = False
) -> ConversionReport:
    return result_of(convert_data(sources, to=to, out=out, as_polygons=as_polygons))


def _parts(path: Path) -> dict[str, AnnotationSource]:
    return {part.split or "train": part for part in find_parts(path, None, None)}


def _coco(root: Path, *, seed: int = 0, **more: object) -> Content:
    """Ids from 1 on, areas those of the boxes, boxes with two decimals, as other formats give them back."""
    rng = np.random.default_rng(seed)
    images, annotations = [], list[Content]()
    for number, name in enumerate(["a.png", "b/d.png", "b/images/c.png"], start=1):
        width, height = rng.integers(20, 90, 2).tolist()
        (root / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height)).save(root / "pictures" / name)
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for _ in range(rng.integers(0, 9)):
            x, y = (rng.uniform(0, 0.5, 2) * (width, height)).round(2).tolist()
            w, h = (rng.uniform(0.1, 0.5, 2) * (width, height)).round(2).tolist()
            entry = {"id": len(annotations) + 1, "image_id": number, "category_id": int(rng.integers(1, 4))}
            annotations.append({**entry, "bbox": [x, y, w, h], "area": round(w * h, 6), "iscrowd": 0, **more})
    categories = [
        {"id": label, "name": name} for label, name in enumerate(["dog", "a cat", "ox & <b>"], start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def _source(root: Path, content: Content) -> dict[str, AnnotationSource]:
    (root / "train.json").write_text(json.dumps(content))
    return {"train": CocoFile(root / "train.json", root / "pictures")}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_boxes_classes_and_pictures_come_back_to_the_last_digit(
    tmp_path: Path, to: Format, seed: int
) -> None:
    content = _coco(tmp_path, seed=seed)
    there = _convert(_source(tmp_path, content), to, tmp_path / "there")
    back = _convert(_parts(tmp_path / "there"), "coco", tmp_path / "back")
    again = json.loads((tmp_path / "back" / "train.json").read_text())
    if to == "voc":
        assert there.losses == {"folders of pictures, for all of them are in one": 2}
        for image in content["images"]:
            image["file_name"] = image["file_name"].rpartition("/")[2]
    else:
        assert there.losses == {}
    assert again == content
    assert back.losses == {}
    assert back.num_objects == {"train": len(content["annotations"])}


def test_crowd_regions_are_difficult_in_voc_and_no_lines_of_yolo(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    content["annotations"][1]["iscrowd"] = 1
    _convert(_source(tmp_path, content), "voc", tmp_path / "voc")
    _convert(_parts(tmp_path / "voc"), "coco", tmp_path / "back")
    again = json.loads((tmp_path / "back" / "train.json").read_text())
    assert [entry["iscrowd"] for entry in again["annotations"]][:3] == [0, 1, 0]
    report = _convert(_parts(tmp_path / "voc"), "yolo", tmp_path / "yolo")
    assert report.losses == {
        "crowd regions (difficult objects), left out": 1,
        "pictures in another order, for that of their names counts": 2,
    }


def test_boxes_reaching_out_of_their_picture_are_clipped_for_yolo_alone(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    width = content["images"][0]["width"]
    boxes = [[-5, 2, 10, 4], [width + 5, 2, 10, 4], [1, 2, 3, 4]]
    content["annotations"] = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "iscrowd": 0}
        for number, box in enumerate(boxes, start=1)
    ]
    report = _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    assert report.losses == {
        "boxes reaching out of their picture, clipped": 1,
        "boxes without extent in their picture, left out": 1,
    }
    found = load_annotations(_parts(tmp_path / "yolo")["train"])
    assert found.boxes.tolist() == [[0, 2, 5, 6], [1, 2, 4, 6]]
    assert _convert(_source(tmp_path, content), "voc", tmp_path / "voc").num_objects == {"train": 3}


def test_names_that_yaml_could_take_for_something_else_stay_names(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    for category, name in zip(content["categories"], ["yes", "1", 'a "b": #c'], strict=True):
        category["name"] = name
    _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    names = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["names"]
    assert names == {0: "yes", 1: "1", 2: 'a "b": #c'}
    assert load_annotations(_parts(tmp_path / "yolo")["train"]).class_names == ("yes", "1", 'a "b": #c')


def test_a_polygon_comes_back_and_other_masks_are_counted(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    triangle, small = [1.0, 1.0, 9.0, 1.0, 9.0, 7.0], [1.0, 1.0, 2.0, 1.0, 2.0, 2.0]
    masks: list[object] = [[triangle], [small, triangle]]
    for entry, mask in zip(content["annotations"], masks, strict=False):
        entry |= {"segmentation": mask, "bbox": [1, 1, 8, 6], "area": 24.0}
    sources = _source(tmp_path, content)
    report = _convert(sources, "yolo", tmp_path / "yolo", as_polygons=True)
    assert report.losses == {
        "masks of several polygons, of which the largest stays": 1,
        "objects without a mask, which become the corners of their boxes": len(content["annotations"]) - 2,
    }
    _convert(_parts(tmp_path / "yolo"), "coco", tmp_path / "back")
    again = json.loads((tmp_path / "back" / "train.json").read_text())["annotations"]
    assert [entry["segmentation"] for entry in again[:2]] == [[triangle], [triangle]]
    assert [(entry["bbox"], entry["area"]) for entry in again[:2]] == [([1, 1, 8, 6], 24)] * 2
    assert _convert(sources, "voc", tmp_path / "voc").losses["masks, left out"] == 2


def test_boxes_that_polygons_do_not_have_are_counted(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    triangle = [1.0, 1.0, 9.0, 1.0, 9.0, 7.0]
    content["annotations"] = [
        content["annotations"][0] | {"segmentation": [triangle], "bbox": box, "area": 24.0}
        for box in ([1, 1, 8, 6], [1, 1, 8, 7])
    ]
    content["annotations"][1]["id"] = 2
    report = _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo", as_polygons=True)
    assert report.losses == {"boxes, which become those around their polygons": 1}


def test_boxes_in_another_form_are_refused_as_training_refuses_them(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    width, height = (content["images"][0][key] for key in ("width", "height"))
    shares = np.linspace(0, 0.8, 12).tolist()
    corners = [
        [share * width, share * height, (share + 0.2) * width, (share + 0.2) * height] for share in shares
    ]
    content["annotations"] = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box}
        for number, box in enumerate(corners, start=1)
    ]
    message = r"first train.json: the boxes are no .* they are corners \[x1, y1, x2, y2\] in pixels"
    with pytest.raises(DataError, match=message):
        _convert(_source(tmp_path, content), "voc", tmp_path / "voc")
    content["info"] = {"box_format": "xywh"}
    assert _convert(_source(tmp_path, content), "voc", tmp_path / "voc").num_objects == {"train": 12}


def test_pictures_that_a_reader_of_yolo_would_not_find_are_refused(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    (tmp_path / "pictures" / "a.png").rename(tmp_path / "pictures" / "a")
    content["images"][0]["file_name"] = "a"
    with pytest.raises(DataError, match=r"1 picture without an ending of pictures, .*: a\. "):
        _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    _convert(_source(tmp_path, content), "voc", tmp_path / "voc")
    assert "a" in load_annotations(_parts(tmp_path / "voc")["train"]).file_names


def test_ids_that_change_and_supercategories_are_counted(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    content["images"][2]["id"] = 77
    for entry in content["annotations"]:
        entry["image_id"] = 77 if entry["image_id"] == 3 else entry["image_id"]
    content["categories"][0]["supercategory"] = "animal"
    report = _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    assert report.losses == {
        "picture ids, which become others: 1, 2, 3 and so on": 1,
        "supercategories": 1,
    }


def test_what_has_errors_or_is_in_the_way_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    sources = _source(tmp_path, content)
    (tmp_path / "there").mkdir()
    with pytest.raises(OutputError, match="exists already; name a new folder"):
        _convert(sources, "yolo", tmp_path / "there")
    with pytest.raises(SpecError, match=r"--to coco: train\.json is COCO's JSON already"):
        _convert(sources, "coco", tmp_path / "out")
    before = sorted(tmp_path.iterdir())
    (tmp_path / "pictures" / "a.png").rename(tmp_path / "pictures" / "e.gif")
    with pytest.raises(DataError, match=r"1 picture missing: a\.png"):
        _convert(sources, "voc", tmp_path / "out")
    content["annotations"][0]["category_id"] = 9
    with pytest.raises(
        DataError, match=r"has 1 error, first a.png: .*there is no category_id 9. hrdet check"
    ):
        _convert(_source(tmp_path, content), "voc", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_pictures_whose_labels_would_have_one_name_are_refused(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    content["images"][1] |= {**content["images"][0], "id": 2, "file_name": "b/a.png"}
    (tmp_path / "pictures" / "b" / "a.png").write_bytes((tmp_path / "pictures" / "a.png").read_bytes())
    with pytest.raises(DataError, match="train: 1 name of several pictures: a"):
        _convert(_source(tmp_path, content), "voc", tmp_path / "out")
    report = _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    assert report.use == ["--train-data", str(tmp_path / "yolo" / "data.yaml")]


def test_links_lead_to_the_pictures(tmp_path: Path) -> None:
    work = convert_data(
        _source(tmp_path, _coco(tmp_path)), to="yolo", out=tmp_path / "out", links_pictures=True
    )
    result_of(work)
    link = tmp_path / "out" / "images" / "train" / "b" / "d.png"
    assert link.readlink() == tmp_path / "pictures" / "b" / "d.png"
    assert len(load_annotations(_parts(tmp_path / "out")["train"])) == 3


def _several(root: Path, seeds: Mapping[str, int]) -> tuple[dict[str, Content], dict[str, AnnotationSource]]:
    """A COCO file for each part, each with its own pictures."""
    contents: dict[str, Content] = {}
    sources: dict[str, AnnotationSource] = {}
    for name, seed in seeds.items():
        contents[name] = _coco(root / name, seed=seed)
        for image in contents[name]["images"]:  # VOC has the pictures of all parts in one folder
            (root / name / "pictures" / image["file_name"]).rename(root / name / f"{name}-{image['id']}.png")
            image["file_name"] = f"{name}-{image['id']}.png"
        (root / name / "annotations.json").write_text(json.dumps(contents[name]))
        sources[name] = CocoFile(root / name / "annotations.json", root / name)
    return contents, sources


@pytest.mark.parametrize("to", ["yolo", "voc"])
def test_files_with_their_own_pictures_become_one_data_set_and_come_back(tmp_path: Path, to: Format) -> None:
    contents, sources = _several(tmp_path, {"train": 1, "val": 2, "test": 3})
    there = _convert(sources, to, tmp_path / "there")
    assert there.losses == {}
    assert there.num_pictures == {"train": 3, "val": 3, "test": 3}
    parts = _parts(tmp_path / "there")
    back = _convert(parts, "coco", tmp_path / "back")
    assert back.losses == {}
    for name, content in contents.items():
        assert json.loads((tmp_path / "back" / f"{name}.json").read_text()) == content
        images = open_images(parts[name].images or Path())
        for image in content["images"]:
            assert images.read(image["file_name"]) == (tmp_path / name / image["file_name"]).read_bytes()


def test_classes_go_by_their_names_and_other_ones_are_told(tmp_path: Path) -> None:
    contents, sources = _several(tmp_path, {"train": 1, "val": 2})
    categories = contents["val"]["categories"]
    expected = [categories[entry["category_id"] - 1]["name"] for entry in contents["val"]["annotations"]]
    categories[0]["id"], categories[1]["id"] = 2, 1
    categories[0], categories[1] = categories[1], categories[0]
    for entry in contents["val"]["annotations"]:
        entry["category_id"] = {1: 2, 2: 1, 3: 3}[entry["category_id"]]
    (tmp_path / "val" / "annotations.json").write_text(json.dumps(contents["val"]))
    report = _convert(sources, "yolo", tmp_path / "yolo")
    assert report.losses == {"classes in another order than in the first part": 2}
    val = load_annotations(_parts(tmp_path / "yolo")["val"])
    assert [val.class_names[label] for label in val.labels] == expected
    categories[2]["name"] = "yak"
    (tmp_path / "val" / "annotations.json").write_text(json.dumps(contents["val"]))
    with pytest.raises(DataError) as caught:
        _convert(sources, "yolo", tmp_path / "other")
    assert str(caught.value) == (
        "val: its classes are not those of train: it lacks 'ox & <b>' and it alone has 'yak'. Give all parts "
        "the same list of categories"
    )


def test_what_cocos_json_alone_says_is_counted(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    content["info"], content["licenses"] = {"year": 2017}, []
    for image in content["images"]:
        image |= {"license": 4, "flickr_url": ""}
    content["annotations"][0] |= {"area": 7.5, "attributes": {"occluded": True}}
    content["images"].reverse()
    report = _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    assert report.losses == {
        "files with 'info'": 1,
        "pictures with 'license'": 3,
        "objects with 'attributes'": 1,
        "areas, which become those of their boxes": 1,
        "picture ids, which become others: 1, 2, 3 and so on": 2,
        "pictures in another order, for that of their names counts": 2,
    }


def test_lvis_becomes_coco_with_all_that_both_can_say(tmp_path: Path) -> None:
    content, lvis = _coco(tmp_path), _coco(tmp_path)
    names = ["train2017/1.png", "train2017/2.png", "val2017/3.png"]
    for coco_image, lvis_image, name in zip(content["images"], lvis["images"], names, strict=True):
        said = {"id": 70 + coco_image["id"], "coco_url": f"http://images.cocodataset.org/{name}"}
        coco_image |= {**said, "file_name": name}
        lvis_image |= {**said, "neg_category_ids": [2]}
        del lvis_image["file_name"]
    for one in (content, lvis):
        one["categories"] = [{"id": 9, "name": "dog", "frequency": "r", "synset": "dog.n.01"}]
        one["annotations"] = [
            {**annotation, "image_id": 71, "category_id": 9, "segmentation": [[1, 1, 9, 1, 9, 9]]}
            for annotation in one["annotations"]
        ]
    for annotation in lvis["annotations"]:
        del annotation["iscrowd"]
    report = _convert(_source(tmp_path, lvis), "coco", tmp_path / "coco")
    assert json.loads((tmp_path / "coco" / "train.json").read_text()) == content
    assert report.losses == {"pictures of LVIS that say for which classes they were looked through": 3}
    assert not load_annotations(CocoFile(tmp_path / "coco" / "train.json")).notes


def test_what_vocs_documents_alone_say_is_counted(tmp_path: Path) -> None:
    _convert(_source(tmp_path, _coco(tmp_path)), "voc", tmp_path / "voc")
    document = tmp_path / "voc" / "Annotations" / "a.xml"
    text = document.read_text()
    more = "<pose>Unspecified</pose><truncated>1</truncated><part><name>head</name></part>"
    text = text.replace("<object>", f"<object>{more}", 1).replace("<size>", "<segmented>0</segmented><size>")
    document.write_text(text.replace("<size>", "<source><database>mine</database></source><size>"))
    report = _convert(_parts(tmp_path / "voc"), "coco", tmp_path / "back")
    assert report.losses == {
        "<source> of documents, left out": 1,
        "<truncated> of objects, left out": 1,
        "<part> of objects, left out": 1,
    }


def test_pictures_that_yolo_would_read_with_another_size_are_refused(tmp_path: Path) -> None:
    content = _coco(tmp_path)
    width, height = (content["images"][0][edge] for edge in ("width", "height"))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (width, height)).save(tmp_path / "pictures" / "a.png", exif=exif)
    with pytest.raises(DataError) as caught:
        _convert(_source(tmp_path, content), "yolo", tmp_path / "yolo")
    assert f"a.png ({height}x{width}, annotated as {width}x{height})" in str(caught.value)
    assert _convert(_source(tmp_path, content), "voc", tmp_path / "voc").num_pictures == {"train": 3}
