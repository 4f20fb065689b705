import json
from pathlib import Path

import pytest

from hrdet_cli.engine.data.checking.annotations import check_annotations, read_json
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.errors import DataError

_TEXT = json.dumps(
    {
        "info": {"id": 1, "name": "x"},
        "licenses": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "images": [{"id": 1, "file_name": "a.jpg", "height": 20, "width": 30}],
        "annotations": [
            {
                "id": 5,
                "image_id": 1,
                "category_id": 1,
                "bbox": [1, 1, 9, 9],
                "attributes": {"id": 7, "area": 3},
            },
            {"id": 6, "image_id": 1, "category_id": 1, "bbox": [2, 2, 9, 9], "note": '"bbox"', "iscrowd": 0},
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
)


def _write(folder: Path, old: str, new: str) -> Path:
    assert old in _TEXT
    path = folder / "a.json"
    path.write_text(_TEXT.replace(old, new, 1))
    return path


def _problems(path: Path) -> list[str]:
    log = ProblemLog(num_described=None)
    check_annotations(read_json(path), log)
    return [f"{problem.kind.severity}: {problem.item}: {problem.what}" for problem in log.described()]


def test_keys_that_only_stand_elsewhere_too_are_not_given_twice(tmp_path: Path) -> None:
    path = _write(tmp_path, '"cat"', '"dog"')
    assert load_coco(path).class_names == ("dog",)
    assert _problems(path) == []


@pytest.mark.parametrize("is_lenient", [False, True])
@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            '"bbox": [2',
            '"bbox": [9, 9, 9, 9], "bbox": [2',
            "annotations[1] (id 6): bbox is given twice, as [9, 9, 9, 9] and [2, 2, 9, 9]",
        ),
        (
            '"iscrowd": 0',
            '"iscrowd": 0, "iscrowd": 1, "iscrowd": 0',
            "annotations[1] (id 6): iscrowd is given 3 times, as 0 and 1 and 0",
        ),
        ('"id": 5', '"id": 4, "id": 5', "annotations[0] (id 5): id is given twice, as 4 and 5"),
        ('"width": 30', '"width": 30, "width": 40', "images[0] (id 1): width is given twice, as 30 and 40"),
        (
            '"name": "cat"',
            '"name": "dog", "name": "cat"',
            "categories[0] (id 1): name is given twice",
        ),
    ],
)
def test_a_used_key_with_two_values_is_refused_and_named(
    tmp_path: Path, old: str, new: str, fault: str, is_lenient: bool
) -> None:
    path = _write(tmp_path, old, new)
    if is_lenient:  # msgspec refuses NaN, so that json reads it all
        path.write_text(path.read_text().replace('"note": ', '"score": NaN, "note": '))
    with pytest.raises(DataError) as caught:
        load_coco(path)
    assert f"  {fault}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
    assert any(problem.startswith(f"error: {fault}") for problem in _problems(path))


@pytest.mark.parametrize("name", ["images", "annotations", "categories"])
def test_a_list_given_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, f'"{name}":', f'"{name}": [], "{name}":')
    with pytest.raises(DataError, match=f"'{name}' is given more than once"):
        load_coco(path)
    assert _problems(path) == [f"error: None: '{name}' is given more than once"]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"iscrowd": 0', '"iscrowd": 0, "iscrowd": 0', "iscrowd given more than once in 1 object"),
        (
            '"name": "cat"',
            '"name": "cat", "supercategory": 1, "supercategory": 2',
            "supercategory given more than once in 1 object",
        ),
        ('"note": ', '"note": 1, "note": ', "note given more than once in 1 object"),
        ('"info": ', '"info": 1, "info": ', "info given more than once in 1 object"),
        ('"area": 3', '"area": 3, "area": 4', "area given more than once in 1 object"),
    ],
)
def test_a_key_given_twice_does_no_harm_where_it_is_not_used_or_says_the_same(
    tmp_path: Path, old: str, new: str, what: str
) -> None:
    path = _write(tmp_path, old, new)
    assert len(load_coco(path).boxes) == 2
    assert _problems(path) == [f"warning: None: {what}; readers take the last value"]
