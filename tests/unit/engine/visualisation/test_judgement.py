"""Which detections are right: COCO's matching at an overlap of one half."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.visualisation.judgement import LabelledBoxes, judge


def labelled(*rows: tuple[float, float, float, float, int]) -> LabelledBoxes:
    table = np.array(rows, dtype=np.float32).reshape(-1, 5)
    return LabelledBoxes(table[:, :4], table[:, 4].astype(np.int64))


def test_the_second_detection_of_an_object_is_false() -> None:
    found = labelled((0, 0, 10, 10, 0), (0, 0, 10, 11, 0), (0, 0, 10, 10, 1))
    judgement = judge(found, labelled((0, 0, 10, 10, 0)), labelled())
    assert judgement.is_false.tolist() == [False, True, True]
    assert judgement.is_found.tolist() == [True]


def test_in_a_crowd_of_its_class_a_detection_is_not_false() -> None:
    found = labelled((0, 0, 10, 10, 0), (0, 0, 10, 10, 1), (90, 0, 110, 10, 0))
    judgement = judge(found, labelled(), labelled((0, 0, 100, 100, 0)))
    assert judgement.is_false.tolist() == [False, True, False]


@pytest.mark.parametrize("seed", range(10))
def test_the_judgement_is_that_of_pycocotools(seed: int) -> None:
    generator = np.random.default_rng(seed)

    def draw(number: int) -> LabelledBoxes:
        corners = generator.uniform(0, 60, (number, 2))
        sizes = generator.uniform(10, 50, (number, 2))
        boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
        return LabelledBoxes(boxes, generator.integers(0, 2, number))

    found, true, crowd = draw(30), draw(12), draw(2)
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": 1}],
        "categories": [{"id": 1}, {"id": 2}],
        "annotations": [],
    }
    rows = [(true, 0), (crowd, 1)]
    for boxes, is_crowd in rows:
        for (x1, y1, x2, y2), label in zip(boxes.boxes.tolist(), boxes.labels.tolist(), strict=True):
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": is_crowd}
            number = len(coco.dataset["annotations"]) + 1
            coco.dataset["annotations"].append({"id": number, "image_id": 1, "category_id": label + 1, **box})
    results = [
        {"image_id": 1, "category_id": label + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 1 - n / 100}
        for n, ((x1, y1, x2, y2), label) in enumerate(
            zip(found.boxes.tolist(), found.labels.tolist(), strict=True)
        )
    ]
    with redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.evaluate()
    num_false = num_found = 0
    per_class = [one for one in evaluation.evalImgs if one and one["aRng"] == evaluation.params.areaRng[0]]
    for one in per_class:
        num_false += int(((one["dtMatches"][0] == 0) & ~one["dtIgnore"][0].astype(bool)).sum())
        num_found += int(((one["gtMatches"][0] > 0) & ~np.array(one["gtIgnore"]).astype(bool)).sum())
    judgement = judge(found, true, crowd)
    assert (judgement.is_false.sum(), judgement.is_found.sum()) == (num_false, num_found)
    assert num_found > 0 < num_false
