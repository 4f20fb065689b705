from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.engine.data.checking.annotations import CheckedFile, JsonFile, check_annotations
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.checking.sizes import OpenedPictures, settle_sizes
from hrdet_cli.engine.data.true_sizes import TrueSizes
from hrdet_cli.engine.geometry import Size

Entry = dict[str, Any]


def _true(width: int, height: int, *, is_turned: bool = False) -> TrueSizes:
    stored = Size(height, width)
    return TrueSizes(stored, Size(width, height) if is_turned else stored)


def _settle(
    entries: list[Entry], boxes: list[list[float]], true_sizes: dict[int, TrueSizes], *, unusable: int = -1
) -> tuple[CheckedFile, set[int], list[str]]:
    """Box i lies in picture i modulo their number; the words of what is told."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", **entry} for i, entry in enumerate(entries)],
        "annotations": [
            {"id": i, "image_id": i % len(entries), "category_id": 1, "bbox": box}
            for i, box in enumerate(boxes)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    file = check_annotations(JsonFile(Path("a.json"), content), ProblemLog(num_described=0))
    log = ProblemLog(num_described=None)
    opened = OpenedPictures(range(len(entries)), {unusable} - {-1}, true_sizes)
    file, wrong = settle_sizes(file, opened, log)
    told = [f"{problem.kind.name}: {problem.what}" for problem in (*log.described(), *log.notes)]
    return file, wrong, told


@pytest.mark.parametrize(
    "entry", [{}, {"width": None, "height": None}, {"width": 0, "height": 20}, {"width": 30, "height": "x"}]
)
def test_a_missing_size_is_the_picture_s(entry: Entry) -> None:
    file, wrong, told = _settle([entry], [], {0: _true(30, 20)})
    assert file.pictures.sizes.tolist() == [[20, 30]]
    assert (wrong, told) == (set(), [])
    assert file.pictures.entries.cleaned(0, {}) == {"id": 0, "file_name": "0.jpg", "width": 30, "height": 20}


@pytest.mark.parametrize(
    ("entry", "box", "size"),
    [
        ({}, [1, 1, 5, 5], (20, 30)),  # as people see it
        ({}, [21, 1, 8, 5], (30, 20)),  # fits into the stored pixels only
        ({"width": 30}, [1, 1, 5, 5], (30, 20)),
        ({"height": 30}, [1, 1, 5, 5], (20, 30)),
    ],
)
def test_of_a_picture_that_exif_turns_boxes_and_the_known_edge_decide(
    entry: Entry, box: list[float], size: tuple[int, int]
) -> None:
    file, _, _ = _settle([entry], [box], {0: _true(30, 20, is_turned=True)})
    width, height = size
    assert file.pictures.sizes.tolist() == [[height, width]]


def test_an_edge_that_contradicts_the_picture_is_not_replaced() -> None:
    file, wrong, told = _settle([{"width": 31}], [], {0: _true(30, 20)})
    assert (file.pictures.sizes.tolist(), wrong) == ([[0, 31]], {0})
    assert told == [
        "picture of another size: is 30x20 but its annotations say another width or height. "
        "Correct the size and boxes in the annotation file, or the picture"
    ]


def test_exchanged_sizes_of_all_pictures_are_one_problem_and_exchanged_back() -> None:
    entries = [{"width": 20, "height": 30}, {"width": 20, "height": 40}, {"width": 9, "height": 9}]
    true = {0: _true(30, 20), 1: _true(40, 20)}
    file, wrong, told = _settle(entries, [[21, 1, 9, 19], [30, 10, 10, 10]], true)
    assert file.pictures.sizes.tolist() == [[20, 30], [20, 40], [9, 9]]
    assert wrong == set()
    assert told == [
        "width and height exchanged: the entries of all 2 pictures that are not square say the width for the "
        "height; exchanged, all boxes fit"
    ]


def test_exchanged_sizes_stay_wrong_where_a_box_would_not_fit() -> None:
    entries = [{"width": 20, "height": 30}, {"width": 20, "height": 40}]
    _, wrong, told = _settle(entries, [[1, 25, 5, 5]], {0: _true(30, 20), 1: _true(40, 20)})
    assert wrong == {0, 1}
    assert [problem.partition(":")[0] for problem in told] == [
        "picture of another size",
        "picture of another size",
        "pictures scaled or turned",
    ]
    assert "1 box would not fit then: the pictures were turned, it seems" in told[2]


@pytest.mark.parametrize(
    ("entries", "true"),
    [
        ([{"width": 20, "height": 30}], {0: _true(30, 20)}),  # may as well have been turned
        ([{"width": 20, "height": 30}] * 3, {0: _true(30, 20), 1: _true(30, 20)}),  # not all
        ([{"width": 20, "height": 30}] * 3, {0: _true(30, 20), 1: _true(30, 20), 2: _true(31, 20)}),
    ],
)
def test_sizes_are_not_exchanged_unless_all_are(entries: list[Entry], true: dict[int, TrueSizes]) -> None:
    file, wrong, told = _settle(entries, [], true)
    assert file.pictures.sizes.tolist() == [[30, 20]] * len(entries)
    assert wrong == set(true)
    assert {problem.partition(":")[0] for problem in told} == {"picture of another size"}


def test_a_picture_that_cannot_be_read_is_no_reason_against_exchanging() -> None:
    entries = [{"width": 20, "height": 30}] * 3
    _, wrong, _ = _settle(entries, [], {0: _true(30, 20), 1: _true(30, 20)}, unusable=2)
    assert wrong == set()


def test_scaled_pictures_are_told_with_their_factor() -> None:
    entries = [{"width": 601, "height": 400}, {"width": 400, "height": 600}]
    _, wrong, told = _settle(entries, [], {0: _true(300, 200), 1: _true(200, 300)})
    assert wrong == {0, 1}
    assert told[2] == (
        "pictures scaled or turned: 2 pictures have their entries' shape, but 0.5 times their size: they "
        "were resized after they were annotated, it seems. Use the pictures of these sizes, or scale sizes "
        "and boxes too"
    )
    _, _, told = _settle(entries, [], {0: _true(300, 200), 1: _true(150, 225)})
    assert "0.375 to 0.5 times their size" in told[2]
    _, _, told = _settle(entries, [], {0: _true(300, 200), 1: _true(300, 300)})
    assert len(told) == 2
