"""What ``check-data`` says of segmentations, and what a cleaned file has of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.engine.data.checking.annotations import CheckedFile, check_annotations, read_json
from hrdet_cli.engine.data.checking.boxes import check_places
from hrdet_cli.engine.data.checking.cleaning import clean
from hrdet_cli.engine.data.checking.masks import check_masks
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco_reading import NO_MASK, load_coco
from hrdet_cli.errors import DataError

TRIANGLE = [10, 20, 40, 20, 10, 44]
RUNS = {"size": [50, 100], "counts": [1020, 24, 1426, 24, 2506]}
"""Of columns 20 and 49, rows 20 to 43."""


def content(
    *segmentations: Any, bbox: tuple[float, ...] = (10, 20, 30, 24), crowd: int = 0
) -> dict[str, Any]:
    """An annotation for each segmentation; "absent" has none."""
    annotations = [
        {"id": row, "image_id": 1, "category_id": 1, "bbox": [*bbox], "iscrowd": crowd, "area": 200 + row}
        | ({} if segmentation == "absent" else {"segmentation": segmentation})
        for row, segmentation in enumerate(segmentations)
    ]
    for row, annotation in enumerate(annotations):
        annotation["category_id"] = 1 + row  # no box twice
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 50, "width": 100}],
        "annotations": annotations,
        "categories": [{"id": 1 + row, "name": f"kind {row}"} for row in range(len(segmentations))],
    }


def check(path: Path, *, matter: bool = False) -> tuple[CheckedFile, ProblemLog]:
    log = ProblemLog(num_described=None)
    file = check_annotations(read_json(path), log)
    file = replace(file, annotations=check_places(file.annotations, file.pictures.sizes))
    check_masks(file.annotations, file.pictures.sizes, log, file=path.name, matter=matter)
    return file, log


def write(folder: Path, value: dict[str, Any]) -> Path:
    path = folder / "train.json"
    path.write_text(json.dumps(value))
    return path


def problems(path: Path, *, matter: bool = False) -> list[str]:
    _, log = check(path, matter=matter)
    return [f"{each.kind.severity}: {each.kind.name}: {each.what}" for each in [*log.described(), *log.notes]]


def cleaned(path: Path, folder: Path) -> Path:
    file, log = check(path)
    new = folder / "clean.json"
    new.write_text(json.dumps(clean(file, log.counts, unusable_pictures=()).content))
    return new


@pytest.mark.parametrize("matter", [True, False])
def test_sound_masks_have_no_problem(tmp_path: Path, matter: bool) -> None:
    runs = content(RUNS, bbox=(20, 20, 30, 24))
    for value in (content([TRIANGLE]), content([TRIANGLE, [20, 30, 25, 30, 20, 35]]), runs):
        assert problems(write(tmp_path, value), matter=matter) == []


def test_files_of_boxes_alone_have_no_problem_unless_masks_matter(tmp_path: Path) -> None:
    path = write(tmp_path, content([], None, "absent"))
    assert problems(path) == []
    assert problems(path, matter=True) == [
        "error: no object has a mask: none of its 3 objects has a mask",
    ]


def test_objects_without_a_mask_among_others_are_noted(tmp_path: Path) -> None:
    path = write(tmp_path, content([TRIANGLE], [], "absent"))
    for matter in (True, False):
        assert problems(path, matter=matter) == [
            "note: objects without a mask: 2 of its 3 objects have no mask: training leaves them out where "
            "the head has masks"
        ]
    assert load_coco(path, with_masks=True).dropped_boxes == {NO_MASK: 2}


def test_crowd_regions_need_no_mask(tmp_path: Path) -> None:
    value = content([TRIANGLE], [])
    value["annotations"][1]["iscrowd"] = 1
    assert problems(write(tmp_path, value), matter=True) == []


BROKEN: list[tuple[Any, str]] = [
    ([TRIANGLE, [1, 2, 3, 4, 5, 6, 7]], "segmentation has 7 numbers in polygon 1; expected pairs of x and y"),
    ([[1, 2, 3, float("nan"), 5, 6]], "segmentation has nan in polygon 0; numbers go to 1e+09"),
    (
        {"size": [100, 50], "counts": RUNS["counts"]},
        "segmentation has size [100, 50]; expected [50, 100], height and width of its picture",
    ),
    (
        {"size": [50, 100], "counts": [1020, 24]},
        "segmentation has runs of fewer pixels than the 5,000 of its picture",
    ),
    (
        {"size": [50, 100], "counts": "PPPP"},
        "segmentation has counts 'PPPP', which are no packed lengths of runs: they end in the middle of a "
        "length: they were cut off",
    ),
]


@pytest.mark.parametrize(("segmentation", "what"), BROKEN)
def test_a_broken_mask_is_an_error_where_masks_matter_and_is_emptied(
    tmp_path: Path, segmentation: Any, what: str
) -> None:
    path = write(tmp_path, content([TRIANGLE], segmentation))
    assert f"error: broken mask: {what}" in problems(path, matter=True)
    assert f"warning: broken mask: {what}" in problems(path)
    load_coco(path)
    with pytest.raises(DataError, match="segmentation has"):
        load_coco(path, with_masks=True)
    clean_path = cleaned(path, tmp_path)
    written = json.loads(clean_path.read_text())["annotations"]
    assert [annotation["segmentation"] for annotation in written] == [[TRIANGLE], []]
    assert load_coco(clean_path, with_masks=True).dropped_boxes == {NO_MASK: 1}


@pytest.mark.parametrize(
    ("segmentation", "mended"),
    [
        (TRIANGLE, [TRIANGLE]),
        ([[10, 20], [40, 20], [10, 44]], [TRIANGLE]),
        (
            [[[10, 20], [40, 20], [10, 44]], [[20, 30], [25, 30], [20, 35]]],
            [TRIANGLE, [20, 30, 25, 30, 20, 35]],
        ),
    ],
)
def test_polygons_in_another_form_are_told_and_become_polygons(
    tmp_path: Path, segmentation: Any, mended: Any
) -> None:
    path = write(tmp_path, content(segmentation))
    (problem,) = problems(path, matter=True)
    assert problem.startswith("error: mask in another form: segmentation is [")
    assert problems(path)[0].startswith("warning: mask in another form")
    with pytest.raises(DataError, match="segmentation"):
        load_coco(path, with_masks=True)
    clean_path = cleaned(path, tmp_path)
    assert json.loads(clean_path.read_text())["annotations"][0]["segmentation"] == mended
    assert load_coco(clean_path, with_masks=True).dropped_boxes == {}


def test_polygons_of_two_corners_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, content([[1, 2, 3, 4], TRIANGLE, []]))
    assert problems(path, matter=True) == [
        "warning: polygon of too few corners: segmentation has 2 polygons of fewer than three corners"
    ]
    clean_path = cleaned(path, tmp_path)
    assert json.loads(clean_path.read_text())["annotations"][0]["segmentation"] == [TRIANGLE]


@pytest.mark.parametrize("segmentation", [[[10, 20, 40, 20, 30, 20]], {"size": [50, 100], "counts": [5000]}])
def test_masks_that_cover_nothing_are_told_as_training_counts_them(tmp_path: Path, segmentation: Any) -> None:
    path = write(tmp_path, content([TRIANGLE], segmentation))
    assert problems(path, matter=True)[0] == "warning: empty mask: segmentation covers no pixel"
    assert load_coco(path, with_masks=True).dropped_boxes == {NO_MASK: 1}


def test_a_mask_that_reaches_out_of_its_picture_is_told(tmp_path: Path) -> None:
    out = content([[70, 20, 112, 20, 70, 44]], bbox=(70, 20, 30, 24))
    assert problems(write(tmp_path, out), matter=True) == [
        "warning: mask reaching out of its picture: segmentation reaches out by 12 pixels of 100x50"
    ]
    a_little = content([[70, 20, 101, 20, 70, 44]], bbox=(70, 20, 30, 24))
    assert problems(write(tmp_path, a_little)) == []


@pytest.mark.parametrize(
    ("segmentation", "extent"),
    [
        ([[15, 20, 40, 20, 15, 44]], "[15, 20, 25, 24]"),
        ([[10, 20, 44, 20, 10, 44]], "[10, 20, 34, 24]"),
        ([[10, 20, 40, 20, 10, 40]], "[10, 20, 30, 20]"),
        (RUNS, "[20, 20, 30, 24]"),
        ({"size": [50, 100], "counts": [520, 60, 4420]}, "[10, 0, 2, 50]"),
    ],
)
def test_a_mask_that_does_not_fit_its_box_is_told(tmp_path: Path, segmentation: Any, extent: str) -> None:
    assert problems(write(tmp_path, content(segmentation))) == [
        "warning: mask that does not fit its box: segmentation lies in "
        f"{extent}, and bbox is [10, 20, 30, 24]"
    ]


def test_a_mask_may_differ_from_its_box_by_rounding_and_a_tenth(tmp_path: Path) -> None:
    for polygon in ([12, 20, 40, 20, 12, 44], [10, 18, 40, 18, 10, 44], [10, 20, 42.9, 20, 10, 44]):
        assert problems(write(tmp_path, content([polygon]))) == []


def test_masks_given_twice_are_told_where_they_matter(tmp_path: Path) -> None:
    path = write(tmp_path, content([TRIANGLE]))
    path.write_text(path.read_text().replace('"segmentation": ', '"segmentation": [], "segmentation": '))
    assert (
        "error: broken mask: segmentation is given twice, as [] and [[10, 20, 40, 20, 10, 44]]"
        in problems(path, matter=True)
    )


def test_masks_of_pictures_without_a_size_are_not_looked_at(tmp_path: Path) -> None:
    value = content([[1, 2, 3]])
    del value["images"][0]["height"]
    assert not any("mask" in problem for problem in problems(write(tmp_path, value)))
