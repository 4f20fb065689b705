import copy
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet_cli.engine.data.box_forms import BOX_FORMS, XYWH, BoxForm
from hrdet_cli.engine.data.checking.annotations import CheckedFile, JsonFile, check_annotations, read_json
from hrdet_cli.engine.data.checking.box_conversion import with_coco_boxes
from hrdet_cli.engine.data.checking.boxes import check_places
from hrdet_cli.engine.data.checking.categories import note_spare_categories
from hrdet_cli.engine.data.checking.cleaning import CleanedFile, clean, json_lines
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.errors import DataError

Content = dict[str, Any]


def _content() -> Content:
    """Three pictures with five boxes of two categories, and keys that training does not know."""
    return {
        "info": {"year": 2017},
        "images": [
            {"id": 9, "file_name": "b/nine.jpg", "height": 50, "width": 100, "license": 3},
            {"id": 4, "file_name": "four.jpg", "height": 80, "width": 40},
            {"id": 5, "file_name": "five.jpg", "height": 80, "width": 40},
        ],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 30, "bbox": [1, 2, 3, 4], "iscrowd": 0, "area": 12},
            {
                "id": 2,
                "image_id": 9,
                "category_id": 10,
                "bbox": [10.5, 20, 30, 25.5],
                "segmentation": [[1, 2]],
            },
            {"id": 3, "image_id": 4, "category_id": 10, "bbox": [0, 0, 40, 80], "iscrowd": 1},
            {"id": 4, "image_id": 5, "category_id": 10, "bbox": [0, 0, 40, 80], "note": "large"},
            {"id": 5, "image_id": 9, "category_id": 30, "bbox": [60, 5, 30, 20], "area": 500},
        ],
        "categories": [{"id": 30, "name": "dog"}, {"id": 10, "name": "cat"}],
    }


def _check(file: JsonFile, log: ProblemLog, *, form: BoxForm | None = None) -> CheckedFile:
    """All checks of a file by itself, without its pictures."""
    checked = with_coco_boxes(check_annotations(file, log), log, form=form)
    return replace(checked, annotations=check_places(checked.annotations, checked.pictures.sizes))


def _problems(content: Content) -> list[str]:
    """Severity, kind and words of each problem."""
    log = ProblemLog(num_described=None)
    _check(JsonFile(Path("train.json"), content), log)
    return [
        ": ".join(filter(None, (problem.kind.severity, problem.file, problem.item, problem.what)))
        for problem in log.described()
    ]


def _clean(content: Content, *, unusable: tuple[int, ...] = ()) -> CleanedFile:
    log = ProblemLog(num_described=0)
    file = _check(JsonFile(Path("train.json"), content), log)
    return clean(file, log.counts, unusable_pictures=unusable)


def _set(where: str, row: int, **values: Any) -> Callable[[Content], None]:
    return lambda content: content[where][row].update(values)


def _remove(where: str, row: int, key: str) -> Callable[[Content], None]:
    return lambda content: content[where][row].pop(key, None)


def test_a_sound_file_has_no_problem() -> None:
    assert _problems(_content()) == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda c: c.pop("images"), "error: train.json: 'images' is missing"),
        (lambda c: c.update(annotations={}), "error: train.json: 'annotations' is not a list"),
        (lambda c: c.update(categories=[]), "error: train.json: 'categories' is empty"),
        (lambda c: c["images"].append(3), "error: train.json: images[3]: is not an object"),
        (
            _remove("images", 1, "height"),
            "error: four.jpg: images[1] (id 4): height is missing; expected an integer from 1 to 1048576",
        ),
        (_set("images", 1, id=9), "error: four.jpg: images[1] (id 9): id 9 is taken by images[0] (id 9)"),
        (
            _set("images", 1, file_name="../x.jpg"),
            "error: train.json: images[1] (id 4): file_name is '../x.jpg'; "
            "expected a path inside the image root",
        ),
        (
            _set("images", 2, file_name="four.jpg"),
            "error: four.jpg: images[2] (id 5): file_name 'four.jpg' is taken by images[1] (id 4)",
        ),
        (
            _set("images", 2, file_name=".//four.jpg"),
            "warning: .//four.jpg: images[2] (id 5): file_name 'four.jpg' is taken by images[1] (id 4)",
        ),
        (
            _set("categories", 1, name="dog"),
            "error: train.json: categories[1] (id 10): name 'dog' is taken by categories[0] (id 30)",
        ),
        (
            _set("annotations", 1, bbox=[1, 2, 3, float("nan")]),
            "error: b/nine.jpg: annotations[1] (id 2): bbox is [1, 2, 3, nan]; "
            "expected four numbers [x, y, width, height] from -1e+09 to 1e+09",
        ),
        (
            _set("annotations", 1, bbox=[1e308, 2, 3, 4]),
            "error: b/nine.jpg: annotations[1] (id 2): bbox is [1e+308, 2, 3, 4]; "
            "expected four numbers [x, y, width, height] from -1e+09 to 1e+09",
        ),
        (
            _set("annotations", 1, image_id=77),
            "error: train.json: annotations[1] (id 2): there is no image_id 77",
        ),
        (
            _set("annotations", 1, category_id=77),
            "error: b/nine.jpg: annotations[1] (id 2): there is no category_id 77",
        ),
        (
            _set("annotations", 1, id=1),
            "error: b/nine.jpg: annotations[1] (id 1): id 1 is taken by annotations[0] (id 1)",
        ),
        (
            _set("annotations", 0, area=float("inf")),
            "error: four.jpg: annotations[0] (id 1): area is inf; expected a number from 0 to 1e+18",
        ),
        (
            _set("annotations", 1, bbox=[10, 10, 0.5, 20]),
            "warning: b/nine.jpg: annotations[1] (id 2): bbox is [10, 10, 0.5, 20]; "
            "width and height must be at least 1",
        ),
        (
            _set("annotations", 1, bbox=[100, 10, 20, 20]),
            "warning: b/nine.jpg: annotations[1] (id 2): bbox is [100, 10, 20, 20] in a picture of 100x50: "
            "less than a pixel of it is inside",
        ),
        (
            _set("annotations", 1, bbox=[-3, 10, 20, 42.5]),
            "warning: b/nine.jpg: annotations[1] (id 2): bbox is [-3, 10, 20, 42.5] in a picture of 100x50: "
            "reaches out by 3 pixels",
        ),
        (
            _set("annotations", 0, area=0),
            "warning: four.jpg: annotations[0] (id 1): area is 0 in a box of 3x4",
        ),
        (
            _set("annotations", 0, area=21),  # the box touches 4 x 5 pixels at most
            "warning: four.jpg: annotations[0] (id 1): area is 21 in a box of 3x4",
        ),
        (
            _set("annotations", 4, category_id=10, bbox=[10.5, 20, 30, 25.5]),
            "warning: b/nine.jpg: annotations[4] (id 5): bbox [10.5, 20, 30, 25.5]: "
            "an earlier annotation has the same box and category",
        ),
    ],
)
def test_a_problem_names_picture_entry_and_fault(damage: Callable[[Content], None], problem: str) -> None:
    content = _content()
    damage(content)
    assert problem in _problems(content)


def test_a_picture_without_boxes_and_a_box_over_the_border_by_rounding_are_no_problem() -> None:
    content = _content()
    content["annotations"] = [content["annotations"][1] | {"bbox": [70, 20, 30.02, 30.02]}]
    assert _problems(content) == []


def test_all_problems_are_found_at_once_however_many() -> None:
    content = _content()
    content["annotations"] = [dict(content["annotations"][0], id=i, image_id="4") for i in range(50)]
    content["images"][0]["width"] = None
    assert len(_problems(content)) == 51


def test_the_log_counts_what_it_does_not_describe() -> None:
    content = _content()
    content["annotations"] = [dict(content["annotations"][0], id=i, image_id="four") for i in range(50)]
    log = ProblemLog(num_described=3)
    _check(JsonFile(Path("train.json"), content), log)
    assert list(log.counts.values()) == [50]
    assert [problem.item for problem in log.described()] == [f"annotations[{i}] (id {i})" for i in range(3)]


def test_pictures_and_categories_without_boxes_are_counted() -> None:
    content = _content()
    del content["annotations"][3]  # the only box of five.jpg
    content["categories"].append({"id": 1, "name": "unicorn"})
    file = _check(JsonFile(Path("train.json"), content), ProblemLog(num_described=0))
    assert (file.num_pictures_without_boxes, file.num_categories_without_boxes) == (1, 1)


def test_nan_is_read_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    content = _content()
    content["annotations"][1]["segmentation"] = [float("nan"), float("inf"), float("-inf")]
    path.write_text(json.dumps(content))
    log = ProblemLog(num_described=None)
    _check(read_json(path), log)
    assert [problem.what for problem in log.described()] == [
        "has NaN or Infinity 3 times; strict readers of JSON refuse that"
    ]
    load_coco(path)  # which is why it is a warning


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "is a JSON list"), ('{"images": [', "is not JSON"), ("[" * 100_000, "is not JSON")],
)
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_json(path)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(b'{"info": "\xf6l"}')
    with pytest.raises(DataError, match="is not in UTF-8, as JSON is: byte 10, in line 1, is 0xf6"):
        read_json(path)


def test_a_number_too_long_for_python_is_no_fault_where_it_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_text('{"images": ' + "9" * 5000 + ', "annotations": -' + "9" * 5000 + "}")
    assert read_json(path).content == {"images": float("inf"), "annotations": float("-inf")}


# What a value may turn into: of each kind some that load_coco takes and some that it refuses.
_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(
            None,
            0,
            1,
            2,
            3,
            4,
            5,
            9,
            10,
            30,
            -1,
            1.0,
            2**63,
            True,
            "9",
            "",
            "four.jpg",
            "x\ny",
            "/etc",
            [],
            {},
        ),
        *([1, 2, 3, 4], [1, 2, 3], [5, 5, 0.4, 9], [-3, 10, 20, 20], [99.5, 1, 9, 9], [38.999, 3, 9, 9]),
        *(
            [0, 0, float("nan"), 3],
            [0, 0, 1e10, 3],
            [-1e9, -1e9, 1e9, 1e9],
            [-50, -50, 500, 500],
            [39, 79, 1, 1],
        ),
        *(float("nan"), float("inf"), 1e400, 500, 12, 0.0001, [60.4996, 5.12345, 45.5, 20], [0, 0, 40.2, 80]),
    ]
)
_DAMAGES = st.one_of(
    st.tuples(
        st.just("annotations"),
        st.integers(0, 4),
        st.sampled_from(["id", "image_id", "category_id", "bbox", "area", "iscrowd"]),
        _VALUES,
    ),
    st.tuples(
        st.just("images"), st.integers(0, 2), st.sampled_from(["id", "file_name", "height", "width"]), _VALUES
    ),
    st.tuples(st.just("categories"), st.integers(0, 1), st.sampled_from(["id", "name"]), _VALUES),
)


@given(
    damages=st.lists(_DAMAGES, max_size=4),
    removed=st.lists(_DAMAGES, max_size=1),
    repeated=st.lists(st.tuples(st.sampled_from(["images", "annotations"]), st.integers(0, 2)), max_size=2),
)
def test_errors_are_what_load_coco_refuses_and_a_cleaned_file_is_taken_whole(
    tmp_path_factory: pytest.TempPathFactory,
    damages: list[tuple[str, int, str, Any]],
    removed: list[tuple[str, int, str, Any]],
    repeated: list[tuple[str, int]],
) -> None:
    content = _content()
    for where, row in repeated:
        content[where].append(dict(content[where][row]))
    for where, row, key, value in damages:
        content[where][row][key] = value
    for where, row, key, _ in removed:
        content[where][row].pop(key, None)
    before = json.dumps(content)
    path = tmp_path_factory.mktemp("damaged") / "train.json"
    path.write_text(before)
    log = ProblemLog(num_described=0)
    file = _check(read_json(path), log)
    is_refused = False
    try:
        dropped = sum(load_coco(path).dropped_boxes.values())
        assert dropped == sum(
            count for kind, count in log.counts.items() if "box " in kind.name and kind.fix == "left out"
        )
    except DataError:
        is_refused = True
    assert is_refused == any(kind.is_error for kind in log.counts)
    try:
        cleaned = clean(file, log.counts, unusable_pictures=[])
    except DataError:
        assert is_refused
        return
    assert json.dumps(file.content) == before
    out = path.with_name("cleaned.json")
    out.write_text("".join(json_lines(cleaned.content)))
    assert load_coco(out).dropped_boxes == {}
    again = ProblemLog(num_described=None)
    _check(read_json(out), again)
    assert {kind.name for kind in again.counts} <= {"box repeated"}


@pytest.mark.parametrize(
    "box",
    [
        [99, 10, 1, 9],
        [99.0009, 10, 1, 9],
        [99.002, 10, 1, 9],
        [99.03, 10, 1, 9],
        [0, -1, 9, 2],
        [9, 9, 0.9999, 9],
    ],
)
def test_a_box_at_the_border_is_left_out_where_load_coco_drops_it(tmp_path: Path, box: list[float]) -> None:
    content = _content()
    content["annotations"][1]["bbox"] = box
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    num_dropped = sum(load_coco(path).dropped_boxes.values())
    assert _clean(content).num_annotations_left_out == num_dropped


def test_a_sound_file_is_cleaned_to_itself() -> None:
    content = _content()
    cleaned = _clean(content)
    assert cleaned.content == content
    assert json.loads("".join(json_lines(cleaned.content))) == content
    assert list(cleaned.content) == list(content)
    assert (cleaned.num_pictures_left_out, cleaned.num_annotations_left_out) == (0, 0)


def test_a_clipped_box_keeps_integers_and_all_that_does_not_follow_from_it() -> None:
    content = _content()
    content["annotations"][0] |= {"bbox": [-5, 30, 200, 100], "area": 20_000}  # the box's
    content["annotations"][1] |= {"bbox": [90.25, 20, 30, 25.5], "area": 200.5}  # a mask's
    content["annotations"][4] |= {"bbox": [90, 20, 30, 25], "area": 400}  # a mask's that is too large now
    expected = copy.deepcopy(content["annotations"])
    expected[0] |= {"bbox": [0, 30, 40, 50], "area": 2000}
    expected[1] |= {"bbox": [90.25, 20, 9.75, 25.5]}
    expected[4] |= {"bbox": [90, 20, 10, 25], "area": 250}
    cleaned = _clean(content)
    assert json.dumps(cleaned.content["annotations"]) == json.dumps(expected)
    assert cleaned.num_annotations_changed == 3


def test_pictures_that_cannot_be_used_go_with_their_annotations() -> None:
    cleaned = _clean(_content(), unusable=(1,))
    assert [image["id"] for image in cleaned.content["images"]] == [9, 5]
    assert [annotation["id"] for annotation in cleaned.content["annotations"]] == [2, 4, 5]
    assert (cleaned.num_pictures_left_out, cleaned.num_annotations_left_out) == (1, 2)


def test_entries_of_one_file_become_one_with_the_boxes_of_all() -> None:
    content = _content()
    content["images"][2]["file_name"] = "four.jpg"
    cleaned = _clean(content)
    assert [image["id"] for image in cleaned.content["images"]] == [9, 4]
    assert [a["image_id"] for a in cleaned.content["annotations"]] == [4, 9, 4, 4, 9]


def test_entries_of_one_file_that_contradict_each_other_all_go() -> None:
    content = _content()
    content["images"][2] |= {"file_name": "four.jpg", "width": 41}
    assert [image["id"] for image in _clean(content).content["images"]] == [9]


def test_an_id_of_two_pictures_says_not_whose_a_box_is() -> None:
    content = _content()
    content["images"][2]["id"] = 4
    cleaned = _clean(content).content
    assert [image["id"] for image in cleaned["images"]] == [9]
    assert [annotation["id"] for annotation in cleaned["annotations"]] == [2, 5]


def test_annotations_get_new_ids_unless_they_only_repeat_an_earlier_one() -> None:
    content = _content()
    content["annotations"][1]["id"] = 1
    del content["annotations"][2]["id"]
    content["annotations"].append(dict(content["annotations"][3]))
    cleaned = _clean(content).content["annotations"]
    assert [annotation["id"] for annotation in cleaned] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("categories", 1, name="dog"), "before its broken category is mended by hand"),
        (lambda c: c.pop("annotations"), "before its broken list is mended by hand"),
        (lambda c: [image.pop("width") for image in c["images"]], "3 pictures without width or height"),
        (lambda c: [image.pop("file_name") for image in c["images"]], "no picture would be left"),
        (lambda c: [a.update(bbox=None) for a in c["annotations"]], "no annotation would be left"),
    ],
)
def test_what_would_be_guessing_is_refused(damage: Callable[[Content], None], message: str) -> None:
    content = _content()
    damage(content)
    with pytest.raises(DataError, match=message):
        _clean(content)


def test_a_cleaned_file_has_a_line_an_entry_and_no_nan() -> None:
    content = _content()
    content["annotations"][1]["segmentation"] = [[1.5, float("nan"), 1e400]]
    text = "".join(json_lines(_clean(content).content))
    assert len(text.splitlines()) == 1 + (3 + 2) + (5 + 2) + (2 + 2)
    assert json.loads(text)["annotations"][1]["segmentation"] == [[1.5, None, None]]


@pytest.mark.parametrize(
    "part", ["bccd/instances_train_raw", "coco_pico/instances_val", "odd_free/instances_val"]
)
def test_real_annotations_have_a_warning_for_each_box_that_is_dropped(shared_data: Path, part: str) -> None:
    path = shared_data / f"{part}.json"
    log = ProblemLog(num_described=None)
    _check(read_json(path), log)
    assert sum(log.counts.values()) == sum(load_coco(path).dropped_boxes.values())


def test_numbers_written_in_another_way_are_one_problem_for_each_key_and_mended() -> None:
    expected, content = _content(), _content()
    for annotation in content["annotations"]:
        annotation["image_id"] = str(annotation["image_id"])
        annotation["bbox"] = [float(value) for value in annotation["bbox"]]
    content["annotations"][0] |= {"id": "1", "area": "12", "iscrowd": "0"}
    content["annotations"][1]["bbox"] = ["10.5", "20", "30", "25.5"]
    content["images"][0] |= {"width": 100.0, "height": "50"}
    content["categories"][1]["id"] = "10"
    assert _problems(content) == [
        "error: train.json: images[0] (id 9): height '50' stands for the number 50",
        "error: train.json: images[0] (id 9): width 100.0 stands for the number 100",
        "error: train.json: categories[1] (id '10'): id '10' stands for the number 10",
        "error: train.json: annotations[0] (id '1'): image_id '4' stands for the number 4; so in 5 entries",
        "error: train.json: annotations[0] (id '1'): iscrowd '0' stands for the number 0",
        "error: train.json: annotations[0] (id '1'): id '1' stands for the number 1",
        "error: train.json: annotations[0] (id '1'): area '12' stands for the number 12",
        "error: train.json: annotations[1] (id 2): bbox ['10.5', '20', '30', '25.5'] stands for the number "
        "[10.5, 20, 30, 25.5]",
    ]
    cleaned = _clean(content)
    assert cleaned.content == expected
    assert (cleaned.num_pictures_changed, cleaned.num_annotations_changed) == (1, 5)
    assert (cleaned.num_pictures_left_out, cleaned.num_annotations_left_out) == (0, 0)


def test_ids_that_are_texts_become_numbers_that_nothing_else_has() -> None:
    content = _content()
    content["images"][0]["id"], content["images"][1]["id"] = "nine.jpg", "four.jpg"  # and 5
    content["categories"][0]["id"] = "dog"  # and 10
    names = {9: "nine.jpg", 4: "four.jpg"}
    for annotation in content["annotations"]:
        annotation["image_id"] = names.get(annotation["image_id"], 5)
        annotation["category_id"] = {30: "dog"}.get(annotation["category_id"], 10)
    assert _problems(content) == [
        "error: train.json: images[0] (id 'nine.jpg'): id 'nine.jpg' becomes the number 1; so in 2 entries",
        "error: train.json: categories[0] (id 'dog'): id 'dog' becomes the number 1",
        "error: train.json: annotations[0] (id 1): image_id 'four.jpg' becomes the number 2; so in 4 entries",
        "error: train.json: annotations[0] (id 1): category_id 'dog' becomes the number 1; so in 2 entries",
    ]
    cleaned = _clean(content).content
    assert [image["id"] for image in cleaned["images"]] == [1, 2, 5]
    assert [category["id"] for category in cleaned["categories"]] == [1, 10]
    assert [item["image_id"] for item in cleaned["annotations"]] == [2, 1, 2, 5, 1]
    assert [item["category_id"] for item in cleaned["annotations"]] == [1, 10, 10, 10, 1]


def test_null_in_an_optional_key_is_as_good_as_nothing(tmp_path: Path) -> None:
    content = _content()
    for annotation in content["annotations"]:
        annotation |= {"iscrowd": None, "area": None, "segmentation": None}
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    assert load_coco(path).is_crowd.tolist() == [False] * 5
    assert _problems(content) == []
    assert _clean(content).content == content


def test_what_repeats_a_key_with_two_values_is_left_out_and_other_repetitions_do_no_harm(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.json"
    text = json.dumps(_content()).replace(
        '"bbox": [1, 2, 3, 4]', '"bbox": [9, 9, 9, 9], "bbox": [1, 2, 3, 4]'
    )
    path.write_text(
        text.replace('"note": ', '"note": "x", "note": ').replace('"info": ', '"info": 1, "info": ')
    )
    log = ProblemLog(num_described=None)
    file = _check(read_json(path), log)
    assert [(kind.name, count) for kind, count in log.counts.items()] == [
        ("broken annotation", 1),
        ("key given twice", 2),
    ]
    cleaned = clean(file, log.counts, unusable_pictures=[])
    expected = _content()
    del expected["annotations"][0]
    assert json.loads("".join(json_lines(cleaned.content))) == expected


def _with_corners(content: Content) -> Content:
    """Thirty boxes more, all given as corners, and areas that go with them as sizes."""
    rng = random.Random(0)
    for number in range(10, 40):
        x, y = rng.randrange(80), rng.randrange(35)
        box = [x, y, x + rng.randrange(5, 20), y + rng.randrange(5, 15)]
        area = box[2] * box[3]
        content["annotations"].append(
            {"id": number, "image_id": 9, "category_id": 10, "bbox": box, "area": area, "segmentation": [[1]]}
        )
    del content["annotations"][:5]
    return content


def test_boxes_of_another_form_are_one_error_and_converted_with_their_areas(tmp_path: Path) -> None:
    content = _with_corners(_content())
    (problem,) = _problems(content)
    assert problem.startswith(
        "error: train.json: the boxes are no [x, y, width, height] in pixels, as COCO's are: they are corners"
    )
    cleaned = _clean(content)
    for old, new in zip(content["annotations"], cleaned.content["annotations"], strict=True):
        x1, y1, x2, y2 = old["bbox"]
        box = [x1, y1, x2 - x1, y2 - y1]
        assert new == old | {"bbox": box, "area": box[2] * box[3]}
        assert all(type(value) is int for value in new["bbox"])
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="they are corners"):
        load_coco(path)
    path.write_text("".join(json_lines(cleaned.content)))
    assert len(load_coco(path).boxes) == 30


def test_boxes_that_are_coco_s_whatever_they_look_like_make_a_file_that_says_so(tmp_path: Path) -> None:
    content = _with_corners(_content())
    log = ProblemLog(num_described=None)
    file = _check(JsonFile(Path("train.json"), content), log, form=XYWH)
    assert [kind.name for kind in log.counts if kind.is_error] == ["boxes as in another form"]
    cleaned = clean(file, log.counts, unusable_pictures=[], declares_form=True)
    assert cleaned.content["info"] == {"year": 2017, "box_format": "xywh"}
    path = tmp_path / "train.json"
    path.write_text("".join(json_lines(cleaned.content)))
    again = ProblemLog(num_described=None)
    _check(read_json(path), again)
    assert not again.counts
    assert len(load_coco(path).boxes) == 30


def test_a_form_that_is_named_is_believed() -> None:
    content = _content()
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]
    log = ProblemLog(num_described=None)
    file = _check(JsonFile(Path("train.json"), content), log, form=BOX_FORMS["xyxy"])
    cleaned = clean(file, log.counts, unusable_pictures=[]).content["annotations"]
    assert [item["bbox"] for item in cleaned] == [item["bbox"] for item in _content()["annotations"]]


def test_shares_of_which_the_form_is_not_clear_are_not_converted() -> None:
    content = _content()
    for annotation in content["annotations"]:
        annotation["bbox"] = [0.5, 0.5, 0.1, 0.2]
    assert "do not tell" in _problems(content)[0]
    with pytest.raises(DataError, match="Say with --boxes in which form its boxes are"):
        _clean(content)


@pytest.mark.parametrize(
    ("categories", "what"),
    [
        (
            [("cells", "none"), ("dog", "cells"), ("cat", "Cells")],
            "category 'cells' has no box and is the supercategory of all others, as Roboflow writes it",
        ),
        ([("animal", None), ("dog", "animal"), ("cat", None)], "is the supercategory of 1 other, as"),
        ([("__background__", None), ("dog", None), ("cat", None)], "is called like what is no object"),
        ([("unicorn", "animal"), ("dog", "animal"), ("cat", "animal")], None),
        ([("person", "person"), ("dog", "animal"), ("cat", "animal")], None),
        ([("unicorn", 3), ("dog", ["x"]), ("cat", {})], None),
    ],
)
def test_a_category_of_no_object_is_noted_in_training_and_here(
    tmp_path: Path, categories: list[tuple[str, Any]], what: str | None
) -> None:
    content = _content()
    content["categories"] = [
        {"id": number, "name": name, "supercategory": group}
        for number, (name, group) in zip((1, 30, 10), categories, strict=True)
    ]
    log = ProblemLog(num_described=None)
    note_spare_categories(_check(JsonFile(Path("train.json"), content), log), log)
    path = tmp_path / "train.json"
    path.write_text(json.dumps(content))
    told = list(load_coco(path).spare_categories.values())
    assert [note.what for note in log.notes] == told
    assert len(told) == (what is not None)
    if what is not None:
        assert what in told[0]
        assert "training learns 3 classes, one of which nothing is" in told[0]
    assert not log.counts
    content["annotations"][0]["category_id"] = 1
    path.write_text(json.dumps(content))
    assert not load_coco(path).spare_categories, "a category with boxes is one of objects"
