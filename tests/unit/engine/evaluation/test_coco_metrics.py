import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hrdet_cli.engine.data.coco import load_coco
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics, score_detections
from hrdet_cli.engine.evaluation.inference import CocoResult
from hrdet_cli.errors import DataError

COCO_PICO = Path(__file__).parents[5] / "shared" / "data" / "coco_pico"
LARGE = [0, 0, 100, 100]
OTHER = [150, 150, 100, 100]


def truth(bbox: Sequence[float], *, image_id: int = 1, category_id: int = 1, **extra: Any) -> dict[str, Any]:
    return {"bbox": list(bbox), "image_id": image_id, "category_id": category_id, **extra}


def result(bbox: Sequence[float], score: float, *, image_id: int = 1, category_id: int = 1) -> CocoResult:
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": score}


def write_annotations(
    folder: Path,
    annotations: Sequence[dict[str, Any]],
    *,
    categories: Sequence[tuple[int, str]] = ((1, "cell"),),
    first_id: int = 1,
) -> Path:
    """An annotation file of two pictures; no info, and no area or iscrowd unless a test gives them."""
    path = folder / "annotations.json"
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 300, "height": 300} for i in (1, 2)],
        "categories": [{"id": id_, "name": name} for id_, name in categories],
        "annotations": [{"id": first_id + row, **item} for row, item in enumerate(annotations)],
    }
    path.write_text(json.dumps(content))
    return path


def score(folder: Path, annotations: Sequence[dict[str, Any]], results: Sequence[CocoResult]) -> CocoMetrics:
    return score_detections(load_coco(write_annotations(folder, annotations)), results)


def numbers(metrics: CocoMetrics, *names: str) -> list[float | None]:
    return [metrics.box[name] for name in names]


def test_finding_everything_scores_one(tmp_path: Path) -> None:
    metrics = score(
        tmp_path,
        [truth(LARGE), truth(OTHER, image_id=2)],
        [result(LARGE, 0.9), result(OTHER, 0.8, image_id=2)],
    )
    # 100x100 boxes are large; no ground truth is small or medium
    assert metrics.box == {
        **dict.fromkeys(["AP", "AP50", "AP75", "APl", "AR1", "AR10", "AR100", "ARl"], pytest.approx(1.0)),
        **dict.fromkeys(["APs", "APm", "ARs", "ARm"], None),
    }


def test_a_missed_box_costs_the_upper_half_of_the_recalls(tmp_path: Path) -> None:
    metrics = score(tmp_path, [truth(LARGE), truth(OTHER)], [result(LARGE, 0.9)])
    # Precision is 1 at the 51 recalls 0.00 .. 0.50 and 0 at the 50 above: 51/101.
    assert metrics.box["AP"] == pytest.approx(51 / 101)
    assert metrics.box["AR100"] == pytest.approx(0.5)


def test_a_duplicate_is_a_false_positive(tmp_path: Path) -> None:
    metrics = score(
        tmp_path, [truth(LARGE), truth(OTHER)], [result(LARGE, 0.9), result(LARGE, 0.8), result(OTHER, 0.7)]
    )
    # True, false, true: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1. 51 recalls see 1, 50 see 2/3.
    assert metrics.box["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_overlap_counts_at_the_thresholds_below_it(tmp_path: Path) -> None:
    metrics = score(tmp_path, [truth(LARGE)], [result([0, 0, 100, 73], 0.9)])
    # IoU 0.73 passes 0.50, 0.55, 0.60, 0.65 and 0.70: five thresholds of ten.
    assert numbers(metrics, "AP50", "AP75", "AP") == pytest.approx([1.0, 0.0, 0.5])


def test_recall_is_limited_by_the_number_of_detections_taken(tmp_path: Path) -> None:
    boxes = [[60 * i, 0, 50, 50] for i in range(5)]  # medium: 32^2 < 2500 < 96^2
    metrics = score(tmp_path, [truth(box) for box in boxes], [result(box, 0.5) for box in boxes])
    assert numbers(metrics, "AR1", "AR10") == pytest.approx([0.2, 1.0])
    assert numbers(metrics, "APm", "APl") == pytest.approx([1.0, None])


@pytest.mark.parametrize(
    ("iscrowd", "expected"),
    # Inside a crowd region a detection is neither right nor wrong. A region that is no crowd is a second box
    # to find (51 recalls, not 101), and the detection inside it is wrong and comes first (precision 1/2).
    [(1, 1.0), (0, 51 / 101 / 2)],
)
def test_a_detection_in_a_crowd_region_is_not_a_false_positive(
    iscrowd: int, expected: float, tmp_path: Path
) -> None:
    crowd = truth([100, 100, 200, 200], iscrowd=iscrowd, area=40_000)
    metrics = score(tmp_path, [crowd, truth(LARGE)], [result([120, 120, 30, 30], 0.9), result(LARGE, 0.8)])
    assert metrics.box["AP"] == pytest.approx(expected)
    assert metrics.classes["cell"].num_boxes == 2 - iscrowd


def test_an_annotation_with_id_zero_can_be_found(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [truth(LARGE)], first_id=0)
    assert score_detections(load_coco(path), [result(LARGE, 0.9)]).box["AP"] == pytest.approx(1.0)


def test_the_annotated_area_decides_between_small_and_large(tmp_path: Path) -> None:
    # The area of an object's mask, not of its box: a thin diagonal is small in a large box.
    metrics = score(tmp_path, [truth(LARGE, area=500)], [result(LARGE, 0.9)])
    assert numbers(metrics, "APs", "APl") == pytest.approx([1.0, None])


def test_no_detection_scores_zero(tmp_path: Path) -> None:
    metrics = score(tmp_path, [truth(LARGE)], [])
    assert numbers(metrics, "AP", "AR100", "APs") == [0.0, 0.0, None]


@pytest.mark.parametrize("results", [[], [result(LARGE, 0.9)]])
def test_no_ground_truth_scores_nothing(results: list[CocoResult], tmp_path: Path) -> None:
    metrics = score(tmp_path, [], results)
    assert set(metrics.box.values()) == {None}
    assert metrics.to_json()["classes"] == {"cell": {"AP": None, "AP50": None, "num_boxes": 0}}
    assert (metrics.precision == -1).all()


def test_classes_keep_the_order_of_the_file_whatever_their_ids(tmp_path: Path) -> None:
    categories = [(90, "zebra"), (7, "ant"), (8, "bee")]
    path = write_annotations(
        tmp_path,
        [truth(LARGE, category_id=90), truth(OTHER, category_id=7), truth(LARGE, category_id=7)],
        categories=categories,
    )
    metrics = score_detections(
        load_coco(path), [result(LARGE, 0.9, category_id=90), result(LARGE, 0.8, category_id=7)]
    )
    document = metrics.to_json()
    assert list(document) == ["box", "classes"]
    assert list(document["classes"].items()) == [
        ("zebra", {"AP": pytest.approx(1.0), "AP50": pytest.approx(1.0), "num_boxes": 1}),
        ("ant", {"AP": pytest.approx(51 / 101), "AP50": pytest.approx(51 / 101), "num_boxes": 2}),
        ("bee", {"AP": None, "AP50": None, "num_boxes": 0}),
    ]
    # a class without ground truth does not count in the mean
    assert metrics.box["AP"] == pytest.approx((1 + 51 / 101) / 2)
    assert metrics.precision.shape == (len(metrics.iou_thresholds), len(metrics.recalls), 3) == (10, 101, 3)
    np.testing.assert_allclose(metrics.precision[0, :, 1], np.where(np.arange(101) <= 50, 1.0, 0.0))
    json.dumps(document, allow_nan=False)


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        (result(LARGE, 0.9, image_id=5), r"result 1 has image_id 5, which .*annotations\.json does not have"),
        (
            result(LARGE, 0.9, category_id=2),
            r"result 1 has category_id 2, which .*annotations\.json does not",
        ),
    ],
)
def test_a_result_from_elsewhere_is_refused(unknown: CocoResult, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        score(tmp_path, [truth(LARGE)], [result(LARGE, 0.9), unknown])


def test_a_broken_annotation_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text('{"images": [')
    with pytest.raises(DataError, match=r"annotations\.json is not JSON"):
        score_detections(load_coco(path), [])


def test_scoring_reads_every_encoding_and_null_as_training_does(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [truth(LARGE, iscrowd=None, area=None)], categories=[(1, "größer")])
    path.write_bytes(json.dumps(json.loads(path.read_bytes()), ensure_ascii=False).encode("utf-16"))
    metrics = score_detections(load_coco(path), [result(LARGE, 0.9)])
    assert metrics.box["AP"] == pytest.approx(1)
    assert metrics.classes["größer"].num_boxes == 1


def test_what_no_box_needs_is_not_read_for_scoring_either(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [{**truth(LARGE), "segmentation": 123456789}])
    path.write_text(path.read_text().replace("123456789", "9" * 5000))  # more digits than Python reads
    assert score_detections(load_coco(path), [result(LARGE, 0.9)]).box["AP"] == pytest.approx(1)


def test_scoring_prints_nothing_and_changes_neither_file_nor_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_annotations(tmp_path, [truth(LARGE)])
    before = path.read_bytes()
    results = [result(LARGE, 0.9)]
    score_detections(load_coco(path), results)
    assert capfd.readouterr() == ("", "")
    assert path.read_bytes() == before
    assert results == [result(LARGE, 0.9)]


@pytest.mark.skipif(not COCO_PICO.is_dir(), reason=f"needs the pictures of {COCO_PICO}")
def test_real_ground_truth_as_detections_scores_one_in_every_class_present() -> None:
    path = COCO_PICO / "instances_train.json"
    content = json.loads(path.read_bytes())
    found = [
        result(item["bbox"], 1.0, image_id=item["image_id"], category_id=item["category_id"])
        for item in content["annotations"]
        if not item["iscrowd"]
    ]
    metrics = score_detections(load_coco(path), found)
    name_by_id = {category["id"]: category["name"] for category in content["categories"]}
    present = {name_by_id[item["category_id"]] for item in found}
    assert metrics.box["AP"] == pytest.approx(1.0)
    assert {
        name for name, values in metrics.classes.items() if values.average_precision is not None
    } == present
    assert all(metrics.classes[name].average_precision == pytest.approx(1.0) for name in present)
    assert sum(values.num_boxes for values in metrics.classes.values()) == len(found)
