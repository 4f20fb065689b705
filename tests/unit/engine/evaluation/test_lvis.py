"""LVIS's annotations and its numbers, by hand and by the formulas of its paper."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdet_cli.engine.data.checking.annotations import check_annotations, read_json
from hrdet_cli.engine.data.checking.problems import ProblemLog
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.evaluation.coco_results import CocoResult
from hrdet_cli.errors import DataError
from tests.detection_tables import score_detections, table_of

Content = dict[str, Any]
ADDRESS = "http://images.cocodataset.org/train2017/00000000000{}.jpg"


def _content() -> Content:
    """Three pictures and three classes, with ids from high to low so that orders are not the files'.

    Class 9 is rare: in picture 3, in picture 2 not exhaustively marked. Class 5 is frequent: in picture 1,
    and surely not in picture 3. Class 1 is common and in no picture.
    """
    images: list[Content] = [
        {"id": number, "coco_url": ADDRESS.format(number), "height": 100, "width": 100}
        for number in (3, 2, 1)
    ]
    images[0] |= {"neg_category_ids": [5], "not_exhaustive_category_ids": []}
    images[1] |= {"neg_category_ids": [], "not_exhaustive_category_ids": [9]}
    images[2] |= {"neg_category_ids": [], "not_exhaustive_category_ids": []}
    objects = [(3, 9, [0, 0, 50, 50]), (2, 9, [0, 0, 50, 50]), (1, 5, [0, 0, 40, 40])]
    return {
        "images": images,
        "annotations": [
            {"id": row, "image_id": image, "category_id": kind, "bbox": box, "area": box[2] * box[3]}
            for row, (image, kind, box) in enumerate(objects, start=1)
        ],
        "categories": [
            {"id": number, "name": name, "frequency": frequency}
            for number, name, frequency in ((9, "yak", "r"), (5, "cup", "f"), (1, "pin", "c"))
        ],
    }


def _load(folder: Path, content: Content) -> CocoAnnotations:
    (folder / "lvis.json").write_text(json.dumps(content))
    return load_coco(folder / "lvis.json", with_truth=True)


def _numbers(annotations: CocoAnnotations, found: list[CocoResult]) -> dict[str, float | None]:
    metrics = score_detections(annotations, table_of(annotations, found))
    return dict(metrics.tasks["box"].numbers)


def _found(image_id: int, category_id: int, box: list[float], score: float) -> CocoResult:
    return {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}


DETECTIONS = [
    _found(3, 9, [0, 0, 50, 50], 0.9),
    _found(2, 9, [0, 0, 50, 50], 0.8),
    _found(2, 9, [60, 60, 30, 30], 0.95),  # not exhaustively marked: no fault
    _found(1, 9, [0, 0, 50, 50], 0.99),  # nobody looked for it there: no fault
    _found(3, 5, [10, 10, 20, 20], 0.7),  # surely not there: a fault, before the right one
    _found(1, 5, [0, 0, 40, 40], 0.6),
]


def test_pictures_are_named_by_their_addresses_and_nothing_is_missing(tmp_path: Path) -> None:
    annotations = _load(tmp_path, _content())
    assert annotations.file_names[0] == "train2017/000000000003.jpg"
    assert any(note.startswith("LVIS: ") for note in annotations.notes)
    log = ProblemLog(num_described=None)
    checked = check_annotations(read_json(tmp_path / "lvis.json"), log)
    assert log.counts == {}
    assert checked.pictures.names == annotations.file_names.tolist()


def test_only_faults_where_somebody_looked_count(tmp_path: Path) -> None:
    numbers = _numbers(_load(tmp_path, _content()), DETECTIONS)
    assert list(numbers)[:9] == ["AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf"]
    assert list(numbers)[9:] == ["AR300", "ARs", "ARm", "ARl"]
    assert numbers["APr"] == 1  # both yaks are found first of what counts
    assert numbers["APf"] == 0.5  # the one cup is the second of two, at every recall
    assert numbers["APc"] is None  # no pin to find
    assert numbers["AP"] == 0.75
    assert numbers["AR300"] == 1
    assert numbers["APl"] is None
    assert numbers["APm"] == 1  # the false cup is small, so that it is no fault of medium ones


def test_with_all_pictures_looked_through_the_numbers_are_cocos(tmp_path: Path) -> None:
    content = _content()
    for image in content["images"]:
        image |= {"neg_category_ids": [1, 5, 9], "not_exhaustive_category_ids": []}
    of_lvis = _numbers(_load(tmp_path, content), DETECTIONS)
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    of_coco = _numbers(_load(tmp_path, content), DETECTIONS)
    same = ["AP", "AP50", "AP75", "APs", "APm", "APl", "ARs", "ARm", "ARl"]
    assert [of_lvis[name] for name in same] == [of_coco[name] for name in same]
    assert of_lvis["AP"] == pytest.approx((_ap([0, 0, 1, 1]) + 0.5) / 2)


def _ap(is_right: list[int]) -> float:
    """Mean precision at 101 recalls of ranked detections of two objects, in five lines."""
    right = np.cumsum(is_right)
    precision = right / np.arange(1, len(is_right) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / 2, np.linspace(0, 1, 101))
    return float(np.mean([best[place] if place < len(best) else 0 for place in places]))


def test_some_classes_alone_keep_what_is_said_of_them(tmp_path: Path) -> None:
    annotations = _load(tmp_path, _content()).of_labels([1])
    numbers = _numbers(annotations, [item for item in DETECTIONS if item["category_id"] == 5])
    assert (numbers["AP"], numbers["APf"], numbers["APr"]) == (0.5, 0.5, None)


def test_pycocotools_does_not_know_lvis(tmp_path: Path) -> None:
    annotations = _load(tmp_path, _content())
    with pytest.raises(ValueError, match="pycocotools does not know LVIS's rules"):
        score_detections(annotations, table_of(annotations, DETECTIONS), back_end="pycocotools")


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    content = _content()
    content["images"][0]["neg_category_ids"] = "5"
    content["categories"][0]["frequency"] = "often"
    with pytest.raises(DataError) as caught:
        _load(tmp_path, content)
    assert "images[0] (id 3): neg_category_ids is '5'; expected a list of integers" in str(caught.value)
    assert "categories[0] (id 9): frequency is 'often'; expected r, c or f" in str(caught.value)
