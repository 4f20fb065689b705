import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.evaluation.proposal_recall import proposal_recalls

NUM_PICTURES = 4


def random_data(*, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Objects of all sizes, some of them crowds, and many detections around them, with scores that repeat."""
    generator = np.random.default_rng(seed)
    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id in range(1, NUM_PICTURES + 1):
        for _ in range(12):
            side = float(np.exp(generator.uniform(2, 5.3)))
            box = [*generator.uniform(0, 400, 2), side, side * generator.uniform(0.5, 2)]
            area = None if generator.random() < 0.3 else box[2] * box[3] * generator.uniform(0.4, 1)
            item = {"image_id": image_id, "category_id": 1, "bbox": [*map(float, box)], "area": area}
            truth.append({**item, "iscrowd": int(generator.random() < 0.15)})
        own = [item["bbox"] for item in truth if item["image_id"] == image_id]
        for row in range(1200 if image_id == 1 else 700):
            x, y, width, height = own[row % len(own)]
            spread = generator.uniform(0.1, 1) if row < 900 else 0.1
            shift = generator.uniform(-spread, spread, 4) * [width, height, width, height]
            score = round(float(generator.uniform(0, 1)), 2) if row < 900 else 0.001
            box = [x + shift[0], y + shift[1], width + shift[2], height + shift[3]]
            results.append(
                {"image_id": image_id, "category_id": 1, "bbox": [*map(float, box)], "score": score}
            )
    return truth, results


def index(items: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    completed = [
        {
            **item,
            "id": number,
            "iscrowd": item.get("iscrowd", 0),
            "area": item["bbox"][2] * item["bbox"][3] if item.get("area") is None else item["area"],
        }
        for number, item in enumerate(items, start=1)
    ]
    images = [{"id": number} for number in range(1, NUM_PICTURES + 1)]
    coco.dataset = {"images": images, "categories": [{"id": 1}], "annotations": completed}
    coco.createIndex()
    return coco


def pycocotools_recalls(truth: list[dict[str, Any]], results: list[dict[str, Any]]) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(index(truth), index(results), "bbox")
        evaluation.params.maxDets = [100, 300, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"][:, 0]  # overlaps, sizes, limits
    return {
        "AR300": recall[:, 0, 1].mean(),
        "AR1000": recall[:, 0, 2].mean(),
        **{f"AR{size}1000": recall[:, column, 2].mean() for column, size in enumerate("sml", start=1)},
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_recalls_are_those_of_pycocotools(seed: int) -> None:
    truth, results = random_data(seed=seed)
    found = proposal_recalls(truth, results)
    assert found == pytest.approx(pycocotools_recalls(truth, results), abs=1e-12)
    assert list(found) == ["AR300", "AR1000", "ARs1000", "ARm1000", "ARl1000"]
    assert found["AR300"] is not None
    assert found["AR1000"] is not None
    assert 0.2 < found["AR300"] < found["AR1000"] < 1


def test_sizes_without_objects_have_no_recall_and_pictures_without_detections_none_found() -> None:
    box = {"image_id": 1, "bbox": [10.0, 10.0, 20.0, 20.0], "area": None, "iscrowd": 0}
    other = {**box, "image_id": 2}
    crowd = {**box, "image_id": 3, "bbox": [0.0, 0.0, 500.0, 500.0], "iscrowd": 1}
    hit = {"image_id": 1, "bbox": [10.0, 10.0, 20.0, 20.0], "score": 0.4}
    recalls = proposal_recalls([box, other, crowd], [hit, {**hit, "image_id": 9}])
    half = {"AR300": 0.5, "AR1000": 0.5, "ARs1000": 0.5, "ARm1000": None, "ARl1000": None}
    assert recalls == half
    assert set(proposal_recalls([crowd], [hit]).values()) == {None}
    assert proposal_recalls([box], [])["AR1000"] == 0
