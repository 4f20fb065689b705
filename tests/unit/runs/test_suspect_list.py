"""Suspect annotations as a file, and what becomes of them when annotations change."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.evaluation.coco_results import CocoResult
from hrdet_cli.errors import DataError
from hrdet_cli.runs.suspect_list import ListedSuspect, read_suspects
from hrdet_cli.runs.suspect_review import SuspectReview, review_suspects
from tests.detection_tables import table_of
from tests.generators import result_of
from tests.unit.pages.document import Document
from tests.unit.runs.evaluation_report.subjects import HEIGHT, WIDTH, Written, load, write

HERE, THERE = [10.0, 10.0, 60.0, 60.0], [200.0, 100.0, 80.0, 80.0]
CAT, DOG = 7, 3


def content() -> dict[str, Any]:
    """One picture with two cats of which one is a dog to the detector, one with a cat annotated twice."""
    boxes = [(9, HERE, CAT), (9, THERE, CAT), (4, HERE, CAT), (4, [10.0, 10.0, 60.0, 59.0], CAT)]
    return {
        "images": [
            {"id": 9, "file_name": "a.png", "width": WIDTH, "height": HEIGHT},
            {"id": 4, "file_name": "b.png", "width": WIDTH, "height": HEIGHT},
        ],
        "annotations": [
            {"id": 70 - row, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": 0}
            for row, (image, box, kind) in enumerate(boxes)
        ],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
    }


FOUND = [
    CocoResult(image_id=4, category_id=CAT, bbox=HERE, score=0.9),
    CocoResult(image_id=4, category_id=DOG, bbox=THERE, score=0.8),
    CocoResult(image_id=9, category_id=CAT, bbox=HERE, score=0.6),
    CocoResult(image_id=9, category_id=DOG, bbox=THERE, score=0.7),
]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    annotations = load(tmp_path, content())
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)).save(tmp_path / name)
    return write(tmp_path, annotations, table_of(annotations, FOUND))


def by_kind(written: Written) -> dict[str, ListedSuspect]:
    return {suspect.kind: suspect for suspect in written.suspects.suspects}


def test_suspects_have_file_id_and_reason(written: Written) -> None:
    suspects = by_kind(written)
    assert set(suspects) == {"class", "box missing", "labelled twice"}
    other = suspects["class"]
    assert (other.file_name, other.image_id) == ("a.png", 9)
    assert other.annotation is not None
    assert (other.annotation.id, other.annotation.category, list(other.annotation.box)) == (69, "cat", THERE)
    assert other.reason == "annotated as cat, detected as dog 0.70"
    missing = suspects["box missing"]
    assert (missing.file_name, missing.annotation) == ("b.png", None)
    assert missing.reason == "dog 0.80 is detected here, and nothing is annotated"
    twice = suspects["labelled twice"]
    assert twice.annotation is not None
    assert twice.annotation.id == 67
    assert twice.reason == "cat (id 68) is annotated again, with an overlap of 98%"


def review(list_file: Path) -> SuspectReview:
    return result_of(review_suspects(list_file, annotations=None, images=None, split=None))


def test_a_review_draws_what_is_open(written: Written, look_at_page: Callable[[Path], None]) -> None:
    found = review(written.page.with_suffix(".suspects.json"))
    assert len(found.open_ones) == 3
    assert found.page == written.page.with_name("report.suspects.html")
    document = Document(found.page.read_text())
    assert len(document.named("img")) == 3
    assert "3 open and 0 settled, by best.pt" in document.texts
    look_at_page(found.page)


def test_what_is_changed_is_settled(written: Written, tmp_path: Path) -> None:
    changed = content()
    changed["annotations"][1]["category_id"] = DOG
    del changed["annotations"][3]
    changed["annotations"].append(
        {"id": 1, "image_id": 4, "category_id": DOG, "bbox": [205.0, 100.0, 80.0, 80.0], "iscrowd": 0}
    )
    (tmp_path / "val.json").write_text(json.dumps(changed))
    found = review(written.page.with_suffix(".suspects.json"))
    assert {one.suspect.kind: one.settled for one in found.suspects} == {
        "class": "the annotation (id 69) is no longer as it was",
        "labelled twice": "one of the two is no longer as it was",
        "box missing": "annotated since",
    }
    assert found.page is None


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_drawn(
    written: Written, tmp_path: Path
) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = review(written.page.with_suffix(".suspects.json"))
    assert len(found.not_drawn) == 2
    assert all("b.png" in reason for reason in found.not_drawn.values())
    assert found.page is not None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "does not exist; name the list that `hrdet eval --report` writes beside the page"),
        (
            "[]",
            "is no list of suspects, as `hrdet eval --report` writes it beside the page: Expected `object`",
        ),
        ('{"format": "hrdet suspects", "version": 2}', "is no list of suspects"),
        ("{", "is no list of suspects"),
    ],
)
def test_another_file_is_refused(text: str | None, what: str, tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{file}: {what}")):
        read_suspects(file)
