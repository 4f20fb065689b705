"""What a report says, of data with everything and of data with nothing."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from tests.perturbed_detections import perturbed_detections
from tests.unit.pages.document import Document
from tests.unit.runs.evaluation_report.subjects import HEIGHT, WIDTH, Written, content_of, load, write

NAMES = ("dog & <cat>", "cup", "car")
NO_DETECTIONS = DetectionTable.of([])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("report")
    annotations = load(folder, content_of(6, NAMES))
    return write(folder, annotations, perturbed_detections(annotations))


def test_the_page_has_a_part_for_every_question(written: Written) -> None:
    document = Document(written.text)
    for title in (
        "Numbers and curves",
        "Errors, by what they cost",
        "Classes, the weakest first",
        "What objects are taken for",
        "Detections that are right, by score",
        "By object size",
        "By object shape, width : height",
        "By objects in the picture",
        "By useful pixels of the canvas",
        "Worst pictures",
        "Suspect annotations",
        "one picture could not be read",
    ):
        assert title in document.texts, title
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", " ".join(document.texts))
    assert len(document.named("img")) >= 6


def test_names_of_classes_stay_texts_and_stand_at_their_numbers(written: Written) -> None:
    document = Document(written.text)
    assert any(NAMES[0] in text for text in document.texts)
    assert "<cat>" not in written.text


def test_the_page_can_be_read_on_a_phone_and_a_desktop(
    written: Written, look_at_page: Callable[[Path], None]
) -> None:
    look_at_page(written.page)


@pytest.mark.parametrize("num_pictures", [1, 3])
def test_where_nothing_is_detected_the_page_says_so(num_pictures: int, tmp_path: Path) -> None:
    written = write(tmp_path, load(tmp_path, content_of(num_pictures, NAMES)), NO_DETECTIONS)
    assert "Nothing was detected." in Document(written.text).texts
    assert written.suspects.suspects == []


def test_data_without_objects_have_a_page_too(tmp_path: Path) -> None:
    content = content_of(3, NAMES) | {"annotations": []}
    annotations = load(tmp_path, content)
    found = perturbed_detections(annotations)
    assert len(found.scores)
    text = write(tmp_path, annotations, found).text
    assert "No detection is right at an overlap of one half." in Document(text).texts


def test_a_detector_without_an_error_has_nothing_to_show(tmp_path: Path) -> None:
    annotations = load(tmp_path, content_of(4, NAMES))
    texts = Document(write(tmp_path, annotations, truth_as_detections(annotations)).text).texts
    assert "No picture has an error." in texts
    assert "The detector contradicts no annotation." in texts


def test_of_many_classes_the_most_confused_are_shown(tmp_path: Path) -> None:
    annotations = load(tmp_path, content_of(60, [f"class {number}" for number in range(20)]))
    texts = Document(write(tmp_path, annotations, perturbed_detections(annotations)).text).texts
    assert "Most confused classes" in texts
    assert "What objects are taken for" not in texts


def test_many_classes_that_are_never_confused_have_no_empty_table(tmp_path: Path) -> None:
    annotations = load(tmp_path, content_of(30, [f"class {number}" for number in range(20)]))
    texts = Document(write(tmp_path, annotations, truth_as_detections(annotations)).text).texts
    assert "No class is taken for another." in texts
    assert "Most confused classes" not in texts


def test_masks_have_their_own_numbers(tmp_path: Path) -> None:
    content = content_of(10, NAMES)
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    annotations = load(tmp_path, content, with_masks=True)
    found = perturbed_detections(annotations)
    runs = coco_mask.frPyObjects(found.boxes, HEIGHT, WIDTH)
    masks = [{"size": one["size"], "counts": one["counts"].decode()} for one in runs]
    texts = Document(write(tmp_path, annotations, replace(found, masks=masks)).text).texts
    for title in ("mask AP", "Errors of masks, by what they cost", "By object size (masks)"):
        assert title in texts, title


def test_lvis_has_a_page_of_its_numbers(tmp_path: Path) -> None:
    content = content_of(12, NAMES)
    for image in content["images"]:
        image |= {"neg_category_ids": [50], "not_exhaustive_category_ids": []}
    for category, frequency in zip(content["categories"], "rcf", strict=True):
        category["frequency"] = frequency
    annotations = load(tmp_path, content)
    texts = Document(write(tmp_path, annotations, perturbed_detections(annotations)).text).texts
    assert {"APr", "APf", "AR300", "By object size"} <= set(texts)


def truth_as_detections(annotations: CocoAnnotations) -> DetectionTable:
    """Every object, found exactly."""
    truth = annotations.truth
    assert truth is not None
    order = truth.picture_indices.argsort()[::-1]  # ids of pictures fall
    return DetectionTable(
        image_ids=annotations.image_ids[truth.picture_indices[order]],
        labels=truth.labels[order],
        boxes=truth.boxes[order],
        scores=truth.areas[order] * 0 + 0.9,
    )
