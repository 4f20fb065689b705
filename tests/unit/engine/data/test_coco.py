import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from hrdet_cli.engine.data.coco_reading import NO_MASK, OUTSIDE, TOO_SMALL, load_coco
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError


def _content() -> dict[str, Any]:
    """Two pictures, ids out of order, annotations not grouped by picture, category ids with a gap."""
    return {
        "images": [
            {"id": 9, "file_name": "b/nine.jpg", "height": 50, "width": 100},
            {"id": 4, "file_name": "four.jpg", "height": 80, "width": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 30, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"id": 2, "image_id": 9, "category_id": 10, "bbox": [10.5, 20, 30, 25.5]},
            {"id": 3, "image_id": 4, "category_id": 10, "bbox": [0, 0, 40, 80], "iscrowd": 1},
        ],
        "categories": [{"id": 30, "name": "dog"}, {"id": 10, "name": "cat"}],
    }


def _write(folder: Path, content: Any) -> Path:
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_annotations_are_grouped_by_picture_in_the_order_of_the_file(tmp_path: Path) -> None:
    coco = load_coco(_write(tmp_path, _content()))
    assert coco.image_ids.tolist() == [9, 4]
    assert coco.file_names.tolist() == ["b/nine.jpg", "four.jpg"]
    assert [coco.size_of(0), coco.size_of(1)] == [Size(height=50, width=100), Size(height=80, width=40)]
    assert coco.offsets.tolist() == [0, 1, 3]
    assert coco.targets_of(0)[0].tolist() == [[10.5, 20, 40.5, 45.5]]
    assert coco.targets_of(1)[0].tolist() == [[1, 2, 4, 6]]
    boxes, labels = coco.crowd_of(1)
    assert (boxes.tolist(), labels.shape) == ([[0, 0, 40, 80]], (1,))
    assert [len(values) for values in coco.crowd_of(0)] == [0, 0]
    assert coco.num_boxes.tolist() == [1, 1]


def test_labels_follow_the_order_of_the_files_categories(tmp_path: Path) -> None:
    coco = load_coco(_write(tmp_path, _content()))
    assert coco.class_names == ("dog", "cat")
    assert coco.category_ids == (30, 10)
    assert coco.targets_of(0)[1].tolist() == [1]
    assert coco.targets_of(1)[1].tolist() == [0]


def test_the_fingerprint_is_the_sha256_of_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, _content())
    assert load_coco(path).fingerprint == hashlib.sha256(path.read_bytes()).hexdigest()


def test_targets_of_a_picture_are_counted_alone_as_with_all_others(tmp_path: Path) -> None:
    content = _content()
    for number, (image_id, is_crowd) in enumerate([(4, 0), (9, 1), (4, 0)], start=100):
        entry = {"id": number, "image_id": image_id, "iscrowd": is_crowd}
        content["annotations"].append(content["annotations"][0] | entry)
    coco = load_coco(_write(tmp_path, content))
    assert [coco.num_boxes_of(index) for index in range(len(coco))] == coco.num_boxes.tolist()
    assert len(set(coco.num_boxes.tolist())) == 2


def test_boxes_over_the_border_are_clipped(tmp_path: Path) -> None:
    content = _content()
    content["annotations"][1]["bbox"] = [-5, 30, 200, 100]
    assert load_coco(_write(tmp_path, content)).targets_of(0)[0].tolist() == [[0, 30, 100, 50]]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([10, 10, 0.5, 20], TOO_SMALL),
        ([10, 10, 20, 0], TOO_SMALL),
        ([10, 10, -20, 20], TOO_SMALL),
        ([100, 10, 20, 20], OUTSIDE),
        ([-20, 10, 20, 20], OUTSIDE),
        ([10, 49.5, 20, 20], OUTSIDE),
        ([10, 500, 20, 20], OUTSIDE),
    ],
)
def test_a_useless_box_is_dropped_and_counted(tmp_path: Path, box: list[float], reason: str) -> None:
    content = _content()
    content["annotations"][1]["bbox"] = box
    coco = load_coco(_write(tmp_path, content))
    assert coco.dropped_boxes == {reason: 1}
    assert coco.num_boxes.tolist() == [0, 1]


@pytest.mark.parametrize("box", [[1.3, 10, 1, 20], [99, 10, 1, 20], [0.1, 49, 20, 1], [-1, 0, 2, 2]])
def test_a_box_of_exactly_one_pixel_is_kept(tmp_path: Path, box: list[float]) -> None:
    content = _content()
    content["annotations"][1]["bbox"] = box
    assert load_coco(_write(tmp_path, content)).dropped_boxes == {}


def test_a_file_without_annotations_has_pictures_without_boxes(tmp_path: Path) -> None:
    coco = load_coco(_write(tmp_path, _content() | {"annotations": []}))
    assert coco.num_boxes.tolist() == [0, 0]
    assert coco.targets_of(1)[0].shape == (0, 4)


def _set(where: str, row: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[where][row].update(values)


def _remove(where: str, row: int, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[where][row].pop(key)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: c.pop("images"), "'images' is missing"),
        (lambda c: c.update(annotations={}), "'annotations' is not a list"),
        (lambda c: c.update(images=[]), "'images' is empty"),
        (lambda c: c.update(categories=[]), "'categories' is empty"),
        (lambda c: c["images"].append(3), "images[2] is not an object"),
        (
            _remove("images", 1, "height"),
            "images[1] (id 4): height is missing; expected an integer from 1 to",
        ),
        (_set("images", 0, width=0), "images[0] (id 9): width is 0; expected"),
        (_set("images", 0, width=10.0), "images[0] (id 9): width is 10.0; expected"),
        (_set("images", 0, height="50"), "images[0] (id 9): height is '50'; expected"),
        (_set("images", 0, height=True), "images[0] (id 9): height is True; expected"),
        (_set("images", 0, id="9"), "images[0] (id '9'): id is '9'; expected an integer"),
        (_set("images", 1, id=9), "images[1] (id 9): id 9 is taken by images[0] (id 9)"),
        (
            _set("images", 1, file_name="b/nine.jpg"),
            "images[1] (id 4): file_name 'b/nine.jpg' is taken by images[0]",
        ),
        (
            _set("images", 1, file_name=""),
            "images[1] (id 4): file_name is ''; expected a path inside the image root",
        ),
        (
            _set("images", 1, file_name="a/../../x.jpg"),
            "file_name is 'a/../../x.jpg'; expected a path inside",
        ),
        (_set("images", 1, file_name="/etc/passwd"), "file_name is '/etc/passwd'; expected a path inside"),
        (_set("images", 1, file_name="..\\x.jpg"), "file_name is '..\\\\x.jpg'; expected a path inside"),
        (_set("images", 1, file_name="C:x.jpg"), "file_name is 'C:x.jpg'; expected a path inside"),
        (_set("categories", 1, id=30), "categories[1] (id 30): id 30 is taken by categories[0] (id 30)"),
        (
            _set("categories", 1, name="dog"),
            "categories[1] (id 10): name 'dog' is taken by categories[0] (id 30)",
        ),
        (_set("categories", 1, name=None), "categories[1] (id 10): name is None; expected a text"),
        (_set("annotations", 1, id=1), "annotations[1] (id 1): id 1 is taken by annotations[0] (id 1)"),
        (_set("annotations", 1, image_id=5), "annotations[1] (id 2): there is no image_id 5"),
        (_set("annotations", 1, category_id=11), "annotations[1] (id 2): there is no category_id 11"),
        (
            _set("annotations", 1, bbox=[1, 2, 3]),
            "annotations[1] (id 2): bbox is [1, 2, 3]; expected four numbers",
        ),
        (
            _set("annotations", 1, bbox=[1, 2, 3, "4"]),
            "annotations[1] (id 2): bbox is [1, 2, 3, '4']; expected",
        ),
        (_set("annotations", 1, bbox=[1, 2, 3, float("nan")]), "bbox is [1, 2, 3, nan]; expected"),
        (_set("annotations", 1, bbox=[1, 2, 3, float("inf")]), "bbox is [1, 2, 3, inf]; expected"),
        (_set("annotations", 1, bbox=[1, 2, 3, 10**400]), "annotations[1] (id 2): bbox is [1, 2, 3, 1000"),
        (_set("annotations", 1, bbox=None), "annotations[1] (id 2): bbox is None; expected"),
        (_remove("annotations", 1, "bbox"), "annotations[1] (id 2): bbox is missing; expected"),
        (_set("annotations", 1, iscrowd=2), "annotations[1] (id 2): iscrowd is 2; expected 0 or 1"),
        (_set("annotations", 1, id=1 << 63), f"id is {1 << 63}; expected an integer"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_item(
    tmp_path: Path, damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = _content()
    damage(content)
    path = _write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        load_coco(path)
    assert str(caught.value).startswith(f"{path} is not a COCO annotation file that can be used")
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", '"\\ud800"'])
def test_what_only_python_writes_is_harmless_where_it_is_not_used(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path, _content())
    path.write_text(path.read_text().replace('"iscrowd"', f'"segmentation": [{text}], "iscrowd"', 1))
    coco = load_coco(path)
    assert coco.targets_of(1)[0].tolist() == [[1, 2, 4, 6]]
    assert coco.targets_of(0)[0].tolist() == [[10.5, 20, 40.5, 45.5]]


def test_the_fast_and_the_lenient_reading_agree(tmp_path: Path) -> None:
    path = _write(tmp_path, _content())
    fast = load_coco(path)
    path.write_text('{"info": NaN, ' + path.read_text()[1:])  # which msgspec refuses
    lenient = load_coco(path)
    assert fast.fingerprint != lenient.fingerprint
    for name in ("image_ids", "file_names", "sizes", "offsets", "boxes", "labels", "is_crowd"):
        np.testing.assert_array_equal(getattr(fast, name), getattr(lenient, name))


def test_all_problems_are_listed_up_to_twenty(tmp_path: Path) -> None:
    content = _content()
    content["annotations"] = [
        {"id": i, "image_id": 5, "category_id": 30, "bbox": [0, 0, 9, 9]} for i in range(23)
    ]
    with pytest.raises(DataError) as caught:
        load_coco(_write(tmp_path, content))
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 20 + 1
    assert lines[20] == "  annotations[19] (id 19): there is no image_id 5"
    assert lines[21] == "  and 3 more"


_WITH_INFO = (
    '{"info": "INFO", "images": [{"id": 1, "file_name": "a", "height": 9, "width": 9}], "annotations": [], '
    '"categories": [{"id": 1, "name": "x"}]}'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "is not JSON: Expecting value"),
        ("[]", "is a JSON list (0 items), not COCO annotations. Give the JSON file with images,"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not in UTF-8"),
        (
            _WITH_INFO.replace("INFO", "\udcf6l"),
            "is not in UTF-8, as JSON is: byte 10, in line 1, is 0xf6",
        ),  # Latin-1
        (_WITH_INFO.replace('"x"', '"\udcf6l"'), "is 0xf6"),
        (
            '{"info": "\udcc3',
            "is not JSON: it ends in the middle of a character. It is not complete: copy it again.",
        ),
    ],
)
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        load_coco(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.json cannot be read: No such file"):
        load_coco(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "file", ["coco_pico/instances_train.json", "coco_pico/instances_val.json", "odd_free/instances_val.json"]
)
def test_real_annotations_agree_with_pycocotools(
    shared_data: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    coco, oracle = load_coco(shared_data / file), COCO(shared_data / file)
    assert sorted(coco.image_ids.tolist()) == sorted(oracle.getImgIds())
    num_seen = 0
    for index, image_id in enumerate(coco.image_ids.tolist()):
        known = oracle.loadAnns(oracle.getAnnIds(imgIds=[image_id], iscrowd=False))
        known = [a for a in known if min(a["bbox"][2:]) >= 1]
        boxes, labels = coco.targets_of(index)
        expected = np.array([a["bbox"] for a in known]).reshape(-1, 4)
        expected[:, 2:] += expected[:, :2]
        np.testing.assert_allclose(
            boxes, expected, atol=0.02
        )  # official boxes reach over the border by rounding
        assert [coco.category_ids[label] for label in labels.tolist()] == [a["category_id"] for a in known]
        num_seen += len(boxes) + len(coco.crowd_of(index)[0])
    assert num_seen + sum(coco.dropped_boxes.values()) == len(oracle.anns)


def test_annotations_samplers_and_canvases_need_no_torch() -> None:
    modules = ("coco_reading", "images", "keys", "padding", "samplers", "steps", "transforms")
    imports = "; ".join(f"import hrdet_cli.engine.data.{module}" for module in modules)
    check = f"{imports}; import sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("name", ["\ud800x", "\u202egnp.tac", "a\nb"])
def test_a_category_that_no_file_or_terminal_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": name}]}
    path = tmp_path / "names.json"
    path.write_text(json.dumps(content | {"images": [{"id": 1, "file_name": "a", "height": 1, "width": 1}]}))
    with pytest.raises(DataError, match=r"categories\[0\] \(id 1\): name is "):
        load_coco(path)


_SQUARE = [[1, 2, 4, 2, 4, 6, 1, 6]]
_RUNS = {"size": [50, 100], "counts": [1020, 26, 3954]}


def _outlined(*segmentations: Any) -> dict[str, Any]:
    content = _content()
    for annotation, segmentation in zip(content["annotations"], segmentations, strict=False):
        annotation["segmentation"] = segmentation
    return content


def test_segmentations_are_read_where_they_are_asked_for_in_the_order_of_the_boxes(tmp_path: Path) -> None:
    path = _write(
        tmp_path, _outlined(_SQUARE, _RUNS, {"size": [80, 40], "counts": "of a crowd: not looked at"})
    )
    assert load_coco(path).segmentations is None
    coco = load_coco(path, with_masks=True)
    assert coco.segmentations is not None
    assert len(coco.segmentations) == len(coco.boxes) == 3
    runs = coco.segmentations_of(0, np.array([True]))
    polygons = coco.segmentations_of(1, np.array([True]))
    assert (runs.runs.tolist(), runs.corners.tolist()) == ([1020, 26, 3954], [])
    assert (polygons.corners.tolist(), polygons.runs.tolist()) == ([[1, 2], [4, 2], [4, 6], [1, 6]], [])
    assert len(coco.segmentations_of(0, np.array([False]))) == 0


@pytest.mark.parametrize("segmentation", [None, [], [[1, 2, 3, 4]], [[5, 5, 5, 5, 5, 5]], "absent"])
def test_with_masks_a_box_without_one_is_dropped_and_counted(tmp_path: Path, segmentation: Any) -> None:
    content = _outlined(_SQUARE, segmentation)
    if segmentation == "absent":
        del content["annotations"][1]["segmentation"]
    path = _write(tmp_path, content)
    assert load_coco(path).dropped_boxes == {}
    coco = load_coco(path, with_masks=True)
    assert coco.dropped_boxes == {NO_MASK: 1}
    assert coco.num_boxes.tolist() == [0, 1]
    assert coco.offsets.tolist() == [0, 0, 2]
    assert coco.is_crowd.tolist() == [False, True]  # a crowd region is no target, and needs no mask
    assert coco.segmentations_of(1, np.array([True])).corners.tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]


def test_segmentations_that_are_wrong_are_listed_with_file_and_annotation(tmp_path: Path) -> None:
    path = _write(tmp_path, _outlined([[1, 2, 3, 4, 5, 6, 7]], {**_RUNS, "size": [100, 50]}))
    load_coco(path)
    with pytest.raises(DataError) as caught:
        load_coco(path, with_masks=True)
    first, *others = str(caught.value).splitlines()
    assert first.startswith(
        f"{path} is not a COCO annotation file that can be used. Regenerate it, or mend it; "
    )
    assert others == [
        "  annotations[1] (id 2): segmentation has size [100, 50]; expected [50, 100], height and width of "
        "its picture",
        "  annotations[0] (id 1): segmentation has 7 numbers in polygon 0; expected pairs of x and y",
    ]


def test_a_segmentation_given_twice_is_a_problem_where_it_is_used(tmp_path: Path) -> None:
    path = _write(tmp_path, _outlined(_SQUARE, _RUNS))
    path.write_text(
        path.read_text().replace('"segmentation": [[', '"segmentation": [], "segmentation": [[', 1)
    )
    load_coco(path)
    with pytest.raises(
        DataError, match=r"annotations\[0\] \(id 1\): segmentation is given twice, as \[\] and"
    ):
        load_coco(path, with_masks=True)


def test_the_fast_and_the_lenient_reading_of_segmentations_agree(tmp_path: Path) -> None:
    content = _outlined(_SQUARE, _RUNS)
    fast = load_coco(_write(tmp_path, content), with_masks=True).segmentations
    content["info"] = float("nan")
    lenient = load_coco(_write(tmp_path, content), with_masks=True).segmentations
    assert fast is not None
    assert lenient is not None
    for name in ("corners", "corner_offsets", "polygon_offsets", "runs", "run_offsets"):
        assert np.array_equal(getattr(fast, name), getattr(lenient, name))


@pytest.mark.parametrize("part", ["train", "val"])
def test_real_segmentations_cover_what_they_cover_for_pycocotools(shared_data: Path, part: str) -> None:
    path = shared_data / "coco_pico" / f"instances_{part}.json"
    coco = load_coco(path, with_masks=True)
    assert coco.dropped_boxes == {}
    assert coco.segmentations is not None
    assert (coco.segmentations.has_polygons == ~coco.is_crowd).all()
    reference = COCO(path)
    flat = [
        number
        for image_id in coco.image_ids.tolist()
        for annotation in reference.loadAnns(sorted(reference.getAnnIds(image_id, iscrowd=False)))
        for polygon in annotation["segmentation"]
        for number in polygon
    ]
    assert len(flat) == coco.segmentations.corners.size
    assert np.isclose(np.sort(coco.segmentations.corners.ravel()), np.sort(flat)).all()


def test_the_command_that_mends_has_the_pictures_where_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = {"images": [{"id": 1, "file_name": "a"}], "annotations": [], "categories": []}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as raised:
        load_coco(path, tmp_path / "my images")
    assert f"hrdet check-data {path} '{tmp_path}/my images' --fix-out mended.json mends" in str(raised.value)
