"""Segmentations of COCO files, read into arrays."""

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from pycocotools import mask as pycocotools_mask

from hrdet_cli.engine.data.segmentation_reading import read_segmentations
from hrdet_cli.engine.data.segmentations import Segmentations

TRIANGLE, SQUARE = [1, 2, 9, 2.5, 4, 7.25], [0, 0, 4, 0, 4, 4, 0, 4]
RUNS = [7, 3, 50, 20, 70]  # of a picture of 10x15


def read(values: Sequence[Any], *, as_text: bool = True) -> tuple[Segmentations, dict[int, str]]:
    """Of annotations of pictures of 10 rows and 15 columns; as ``msgspec.Raw`` or as Python's objects."""
    given = [
        value if value is msgspec.UNSET or not as_text else msgspec.Raw(json.dumps(value).encode())
        for value in values
    ]
    faults: dict[int, str] = {}
    found = read_segmentations(given, np.array([[10, 15]] * len(given), dtype=np.int32), faults.__setitem__)
    return found, faults


def packed(runs: Sequence[int]) -> str:
    text: bytes = pycocotools_mask.frPyObjects({"size": [10, 15], "counts": list(runs)}, 10, 15)["counts"]
    return text.decode()


def runs_of(given: Segmentations, row: int) -> list[int]:
    start, end = given.run_offsets[row : row + 2]
    return list(map(int, given.runs[start:end]))


@pytest.mark.parametrize("as_text", [True, False])
def test_polygons_and_both_forms_of_runs_are_read(as_text: bool) -> None:
    values = [
        [TRIANGLE, SQUARE],
        {"size": [10, 15], "counts": RUNS},
        [SQUARE],
        {"size": [10, 15], "counts": packed(RUNS)},
    ]
    found, faults = read(values, as_text=as_text)
    assert faults == {}
    assert found.corners.dtype == np.float32
    assert found.corners.ravel().tolist() == [*TRIANGLE, *SQUARE, *SQUARE]
    assert found.corner_offsets.tolist() == [0, 3, 7, 11]
    assert found.polygon_offsets.tolist() == [0, 2, 2, 3, 3]
    assert [runs_of(found, row) for row in range(4)] == [[], RUNS, [], RUNS]
    assert found.covers_something.tolist() == [True] * 4


def test_what_an_annotation_may_leave_out_is_neither() -> None:
    found, faults = read([msgspec.UNSET, None, [], [TRIANGLE], [[]]])
    assert faults == {}
    assert found.polygon_offsets.tolist() == [0, 0, 0, 0, 1, 1]
    assert found.run_offsets.tolist() == [0] * 6
    assert found.covers_something.tolist() == [False, False, False, True, False]


def test_a_polygon_of_two_corners_is_left_out_and_lines_cover_nothing() -> None:
    line = [1, 5, 9, 5, 4, 5]
    found, faults = read([[[1, 2, 3, 4]], [[1, 2, 3, 4], SQUARE], [line], [line, TRIANGLE]])
    assert faults == {}
    assert found.polygon_offsets.tolist() == [0, 0, 1, 2, 4]
    assert found.covers_something.tolist() == [False, True, False, True]


def test_runs_without_a_pixel_inside_cover_nothing() -> None:
    found, _ = read(
        [{"size": [10, 15], "counts": counts} for counts in ([150], [150, 0], [0, 150], [149, 1])]
    )
    assert found.covers_something.tolist() == [False, False, True, True]


@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (TRIANGLE, r"is \[1, 2, 9, 2\.5, 4, 7\.25\]; expected polygons \[\[x1, y1, .*\], or runs"),
        ("[[1, 2]]", r"is '\[\[1, 2\]\]'; expected polygons"),
        (True, r"is True; expected polygons"),
        ([SQUARE, [1, 2, 3, 4, 5, 6, 7]], r"has 7 numbers in polygon 1; expected pairs of x and y"),
        ([[[1, 2], [3, 4], [5, 6]]], r"has \[1, 2\] in polygon 0; expected numbers x1, y1"),
        ([SQUARE, [1, 2, 3, "4", 5, 6]], r"has '4' in polygon 1; expected numbers"),
        ([[1, 2, 3, None, 5, 6]], r"has None in polygon 0; expected numbers"),
        ([[1, 2, 3, True, 5, 6]], r"has True in polygon 0; expected numbers"),
        (
            [[1, 2, 3, 1e12, 5, 6]],
            r"has a coordinate beyond 1e\+09|has 1000000000000\.0 in polygon 0; numbers go to",
        ),
        ([[1e12, 1e12] * 3], r"has 1000000000000\.0 in polygon 0; numbers go to"),
        ([SQUARE, [0, 0, 1e9, 0, 1e9, 1e9]], r"has an outline of 3,000,000,000 pixels in polygon 1; no"),
        ([[0, 0, 9999, 9999] * 300], r"has an outline of 5,999,400 pixels in polygon 0; no picture"),
        ({"counts": RUNS}, r"has size None; expected \[height, width\]"),
        ({"size": [10, 15.0], "counts": RUNS}, r"has size \[10, 15\.0\]; expected"),
        (
            {"size": [15, 10], "counts": RUNS},
            r"has size \[15, 10\]; expected \[10, 15\], height and width of its picture",
        ),
        ({"size": [10, 15]}, r"has counts None; expected lengths of runs"),
        ({"size": [10, 15], "counts": [1.5, 148.5]}, r"has counts \[1\.5, 148\.5\]; expected"),
        ({"size": [10, 15], "counts": [100, -1, 51]}, r"has a run of -1 pixels"),
        ({"size": [10, 15], "counts": [100, 20]}, r"has runs of fewer pixels than the 150 of its picture"),
        ({"size": [10, 15], "counts": [100, 10**30]}, r"has runs of more pixels than the 150 of its picture"),
        ({"size": [10, 15], "counts": []}, r"has runs of fewer pixels"),
        ({"size": [10, 15], "counts": ""}, r"has runs of fewer pixels"),
        ({"size": [10, 15], "counts": "7 3"}, r"has counts '7 3', which are no packed .*: ' ' is no letter"),
        ({"size": [10, 15], "counts": packed(RUNS)[:-1]}, r"they were cut off"),
        ({"size": [10, 15], "counts": "oooooooo0"}, r"a length is of more pixels than any picture has"),
        ({"size": [10, 15], "counts": "7ü3"}, r"is no letter of theirs"),
    ],
)
def test_what_is_wrong_is_told_and_leaves_the_others_as_they_are(
    value: Any, fault: str, as_text: bool
) -> None:
    found, faults = read([[SQUARE], value, {"size": [10, 15], "counts": RUNS}], as_text=as_text)
    assert list(faults) == [1]
    assert re.search(fault, faults[1])
    assert found.corners[:4].ravel().tolist() == SQUARE
    assert found.polygon_offsets[[0, 1]].tolist() == [0, 1]
    assert runs_of(found, 2) == RUNS


@pytest.mark.parametrize("as_text", [True, False])
def test_the_outline_of_the_largest_picture_is_none_too_long(as_text: bool) -> None:
    edge = 1 << 20
    _, faults = read([[[0, 0, edge, 0, edge, edge, 0, edge]]], as_text=as_text)
    assert faults == {}


def test_numbers_that_no_float_can_hold_are_told() -> None:
    given = [
        msgspec.Raw(b"[[1, 2, 3, 1e999, 5, 6]]"),
        msgspec.Raw(b"[[1, 2, 3, 1" + b"0" * 5000 + b", 5, 6]]"),
    ]
    faults: dict[int, str] = {}
    read_segmentations(given, np.array([[10, 15]] * 2), faults.__setitem__)
    assert [text.split(" in ")[0] for text in faults.values()] == ["has inf"] * 2


@pytest.mark.parametrize("as_text", [True, False])
def test_runs_of_pictures_of_any_size_are_read_or_refused(as_text: bool) -> None:
    sizes = [(40_000, 40_000), (50_000, 50_000)]
    runs = [[height * width - 9, 9] for height, width in sizes]
    values = [
        {"size": [height, width], "counts": given} for (height, width), given in zip(sizes, runs, strict=True)
    ]
    given = [msgspec.Raw(json.dumps(value).encode()) if as_text else value for value in values]
    faults: dict[int, str] = {}
    found = read_segmentations(given, np.array(sizes, dtype=np.int32), faults.__setitem__)
    assert runs_of(found, 0) == runs[0]
    assert faults == {1: "has runs of 2,500,000,000 pixels; they are read of 2,147,483,647 at most"}


def test_many_annotations_are_read_like_few() -> None:
    generator = np.random.default_rng(0)
    values: list[Any] = []
    for number in range(2500):
        corners = generator.uniform(0, 15, (int(generator.integers(3, 9)), 2)).round(2)
        values.append([corners.ravel().tolist()] * int(generator.integers(0, 3)))
        if number % 100 == 7:
            values[-1] = {"size": [10, 15], "counts": RUNS}
    values[1700] = [[1, 2, 3, 4, 5]]
    found, faults = read(values)
    assert list(faults) == [1700]
    for row, value in enumerate(values):
        first, end = found.polygon_offsets[row : row + 2].tolist()
        expected = value if isinstance(value, list) and row != 1700 else []
        assert end - first == len(expected)
        for number, polygon in zip(range(first, end), expected, strict=True):
            read_corners = found.corners[found.corner_offsets[number] : found.corner_offsets[number + 1]]
            assert read_corners.ravel().tolist() == np.array(polygon, dtype=np.float32).tolist()
        assert runs_of(found, row) == (RUNS if isinstance(value, dict) else [])
