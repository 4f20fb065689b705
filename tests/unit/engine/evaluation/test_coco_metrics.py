import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.run_lengths import bitmap_of_runs, unpack_run_lengths
from hrdet_cli.engine.evaluation.back_ends import BackEnd
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.coco_results import CocoResult
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError
from tests.detection_tables import score_detections, table_of

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
    return score_file(write_annotations(folder, annotations), results)


def score_file(path: Path, results: Sequence[CocoResult], *, with_masks: bool = False) -> CocoMetrics:
    loaded = load_coco(path, with_masks=with_masks, with_truth=True)
    return score_detections(loaded, table_of(loaded, results))


def numbers(metrics: CocoMetrics, *names: str) -> list[float | None]:
    return [metrics.numbers["box"][name] for name in names]


def test_finding_everything_scores_one(tmp_path: Path) -> None:
    metrics = score(
        tmp_path,
        [truth(LARGE), truth(OTHER, image_id=2)],
        [result(LARGE, 0.9), result(OTHER, 0.8, image_id=2)],
    )
    # 100x100 boxes are large; no ground truth is small or medium
    assert metrics.numbers["box"] == {
        **dict.fromkeys(["AP", "AP50", "AP75", "APl", "AR1", "AR10", "AR100", "ARl"], pytest.approx(1.0)),
        **dict.fromkeys(["APs", "APm", "ARs", "ARm"], None),
    }


def test_a_missed_box_costs_the_upper_half_of_the_recalls(tmp_path: Path) -> None:
    metrics = score(tmp_path, [truth(LARGE), truth(OTHER)], [result(LARGE, 0.9)])
    # Precision is 1 at the 51 recalls 0.00 .. 0.50 and 0 at the 50 above: 51/101.
    assert metrics.numbers["box"]["AP"] == pytest.approx(51 / 101)
    assert metrics.numbers["box"]["AR100"] == pytest.approx(0.5)


def test_a_duplicate_is_a_false_positive(tmp_path: Path) -> None:
    metrics = score(
        tmp_path, [truth(LARGE), truth(OTHER)], [result(LARGE, 0.9), result(LARGE, 0.8), result(OTHER, 0.7)]
    )
    # True, false, true: precisions 1, 1/2, 2/3 at recalls 1/2, 1/2, 1. 51 recalls see 1, 50 see 2/3.
    assert metrics.numbers["box"]["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


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
    assert metrics.numbers["box"]["AP"] == pytest.approx(expected)
    assert metrics.tasks["box"].classes["cell"].num_objects == 2 - iscrowd


def test_an_annotation_with_id_zero_can_be_found(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [truth(LARGE)], first_id=0)
    assert score_file(path, [result(LARGE, 0.9)]).numbers["box"]["AP"] == pytest.approx(1.0)


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
    assert set(metrics.numbers["box"].values()) == {None}
    assert metrics.to_json()["classes"] == {"cell": {"AP": None, "AP50": None, "num_boxes": 0}}
    assert (metrics.tasks["box"].precision == -1).all()


def test_classes_keep_the_order_of_the_file_whatever_their_ids(tmp_path: Path) -> None:
    categories = [(90, "zebra"), (7, "ant"), (8, "bee")]
    path = write_annotations(
        tmp_path,
        [truth(LARGE, category_id=90), truth(OTHER, category_id=7), truth(LARGE, category_id=7)],
        categories=categories,
    )
    metrics = score_file(path, [result(LARGE, 0.9, category_id=90), result(LARGE, 0.8, category_id=7)])
    document = metrics.to_json()
    assert list(document) == ["box", "classes"]
    assert list(document["classes"].items()) == [
        ("zebra", {"AP": pytest.approx(1.0), "AP50": pytest.approx(1.0), "num_boxes": 1}),
        ("ant", {"AP": pytest.approx(51 / 101), "AP50": pytest.approx(51 / 101), "num_boxes": 2}),
        ("bee", {"AP": None, "AP50": None, "num_boxes": 0}),
    ]
    # a class without ground truth does not count in the mean
    assert metrics.numbers["box"]["AP"] == pytest.approx((1 + 51 / 101) / 2)
    boxes = metrics.tasks["box"]
    assert boxes.precision.shape == (len(boxes.iou_thresholds), len(boxes.recalls), 3) == (10, 101, 3)
    np.testing.assert_allclose(boxes.precision[0, :, 1], np.where(np.arange(101) <= 50, 1.0, 0.0))
    json.dumps(document, allow_nan=False)


def test_a_broken_annotation_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "annotations.json"
    path.write_text('{"images": [')
    with pytest.raises(DataError, match=r"annotations\.json is not JSON"):
        score_file(path, [])


def test_scoring_reads_every_encoding_and_null_as_training_does(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [truth(LARGE, iscrowd=None, area=None)], categories=[(1, "größer")])
    path.write_bytes(json.dumps(json.loads(path.read_bytes()), ensure_ascii=False).encode("utf-16"))
    metrics = score_file(path, [result(LARGE, 0.9)])
    assert metrics.numbers["box"]["AP"] == pytest.approx(1)
    assert metrics.tasks["box"].classes["größer"].num_objects == 1


def test_what_no_box_needs_is_not_read_for_scoring_either(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [{**truth(LARGE), "segmentation": 123456789}])
    path.write_text(path.read_text().replace("123456789", "9" * 5000))  # more digits than Python reads
    assert score_file(path, [result(LARGE, 0.9)]).numbers["box"]["AP"] == pytest.approx(1)


def test_scoring_prints_nothing_and_changes_neither_file_nor_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_annotations(tmp_path, [truth(LARGE)])
    before = path.read_bytes()
    results = [result(LARGE, 0.9)]
    score_file(path, results)
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
    metrics = score_file(path, found)
    name_by_id = {category["id"]: category["name"] for category in content["categories"]}
    present = {name_by_id[item["category_id"]] for item in found}
    assert metrics.numbers["box"]["AP"] == pytest.approx(1.0)
    assert {
        name for name, values in metrics.tasks["box"].classes.items() if values.average_precision is not None
    } == present
    assert all(metrics.tasks["box"].classes[name].average_precision == pytest.approx(1.0) for name in present)
    assert sum(values.num_objects for values in metrics.tasks["box"].classes.values()) == len(found)


def runs_of(*rectangles: Sequence[int]) -> dict[str, Any]:
    """Packed runs of pictures of 300x300 with rectangles ``x, y, width, height`` inside."""
    bitmap = np.zeros((300, 300), dtype=np.uint8, order="F")
    for x, y, width, height in rectangles:
        bitmap[y : y + height, x : x + width] = 1
    packed = coco_mask.encode(bitmap)
    return {"size": [300, 300], "counts": packed["counts"].decode()}


def outline(x: int, y: int, width: int, height: int) -> list[list[float]]:
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def masked(found: CocoResult, segmentation: dict[str, Any]) -> CocoResult:
    return {**found, "segmentation": segmentation}


def score_masks(
    folder: Path, annotations: Sequence[dict[str, Any]], results: Sequence[CocoResult]
) -> CocoMetrics:
    return score_file(write_annotations(folder, annotations), results, with_masks=True)


def test_masks_are_scored_beside_boxes_by_their_own_overlap(tmp_path: Path) -> None:
    # The boxes are equal; of the mask's 100 columns 73 are found, which is enough at five thresholds of ten.
    metrics = score_masks(
        tmp_path,
        [truth(LARGE, segmentation=outline(0, 0, 100, 100))],
        [masked(result(LARGE, 0.9), runs_of((0, 0, 73, 100)))],
    )
    assert metrics.numbers["box"]["AP"] == pytest.approx(1.0)
    assert [metrics.numbers["mask"][name] for name in ("AP", "AP50", "AP75")] == pytest.approx([0.5, 1, 0])
    document = metrics.to_json()
    assert list(document) == ["box", "mask", "classes"]
    assert document["classes"]["cell"] == pytest.approx(
        {"AP": 1.0, "AP50": 1.0, "mask_AP": 0.5, "mask_AP50": 1.0, "num_boxes": 1}
    )
    assert metrics.tasks["mask"].precision.shape == (10, 101, 1)


@pytest.mark.parametrize("packed", [False, True])
def test_runs_of_the_ground_truth_may_be_packed_or_not(packed: bool, tmp_path: Path) -> None:
    uncompressed = {"size": [300, 300], "counts": [0, *[100, 200] * 99, 100, 200 * 300 + 200]}
    metrics = score_masks(
        tmp_path,
        [truth(LARGE, segmentation=runs_of((0, 0, 100, 100)) if packed else uncompressed)],
        [masked(result(LARGE, 0.9), runs_of((0, 0, 100, 100)))],
    )
    assert metrics.numbers["mask"]["AP"] == pytest.approx(1.0)


def test_a_mask_in_a_crowd_region_s_runs_is_not_a_false_positive(tmp_path: Path) -> None:
    crowd = truth([100, 100, 200, 200], iscrowd=1, area=20_000, segmentation=runs_of((100, 100, 100, 200)))
    one = truth(LARGE, segmentation=outline(0, 0, 100, 100))
    inside = masked(result([120, 120, 30, 30], 0.9), runs_of((120, 120, 30, 30)))
    beside = masked(result([220, 120, 30, 30], 0.95), runs_of((220, 120, 30, 30)))
    right = masked(result(LARGE, 0.8), runs_of((0, 0, 100, 100)))
    metrics = score_masks(tmp_path, [crowd, one], [inside, right])
    assert metrics.numbers["mask"]["AP"] == pytest.approx(1.0)
    # The box of the crowd region holds both, its mask only one; so the other one is wrong, and comes first.
    metrics = score_masks(tmp_path, [crowd, one], [inside, beside, right])
    assert metrics.numbers["box"]["AP"] == pytest.approx(1.0)
    assert metrics.numbers["mask"]["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize("segmentation", [None, [], [[1, 2, 3, 4]], {"size": [300, 300], "counts": [90_000]}])
def test_an_object_without_a_mask_counts_for_boxes_alone(segmentation: Any, tmp_path: Path) -> None:
    metrics = score_masks(
        tmp_path,
        [truth(LARGE, segmentation=outline(0, 0, 100, 100)), truth(OTHER, segmentation=segmentation)],
        [masked(result(LARGE, 0.9), runs_of((0, 0, 100, 100)))],
    )
    assert metrics.numbers["mask"]["AP"] == pytest.approx(1.0)
    assert metrics.numbers["box"]["AP"] == pytest.approx(51 / 101)
    assert metrics.num_without_mask == 1


def test_the_size_of_a_found_mask_is_its_own_and_not_its_box_s(tmp_path: Path) -> None:
    # Nothing to find: a wrong mask of 30 pixels in a large box is no large one, so nothing large is wrong.
    line = masked(result(LARGE, 0.9), runs_of((0, 0, 30, 1)))
    right = masked(result(OTHER, 0.8), runs_of((150, 150, 100, 100)))
    metrics = score_masks(tmp_path, [truth(OTHER, segmentation=outline(150, 150, 100, 100))], [line, right])
    assert metrics.numbers["mask"]["APl"] == pytest.approx(1.0)
    assert metrics.numbers["box"]["APl"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("segmentation", "what"),
    [
        ([[1, 2, 3, 4, 5]], "has 5 numbers in polygon 0"),
        ({"size": [200, 300], "counts": [60_000]}, r"has size \[200, 300\]; expected \[300, 300\]"),
        ({"size": [300, 300], "counts": [5]}, "has runs of fewer pixels"),
        ("everything", "is 'everything'; expected polygons"),
    ],
)
def test_what_is_no_segmentation_cannot_be_scored_with(segmentation: Any, what: str, tmp_path: Path) -> None:
    annotations = [truth(OTHER), truth(LARGE, segmentation=segmentation)]
    with pytest.raises(DataError, match=rf"annotations\[1\] \(id 2\): segmentation {what}"):
        score_masks(tmp_path, annotations, [])


@pytest.mark.skipif(not COCO_PICO.is_dir(), reason=f"needs the pictures of {COCO_PICO}")
@pytest.mark.parametrize("part", ["train", "val"])
def test_scores_are_to_the_bit_those_of_pycocotools_alone(part: str) -> None:
    path = COCO_PICO / f"instances_{part}.json"
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(path))
    generator = np.random.default_rng(0)
    found: list[CocoResult] = []
    for annotation in official.loadAnns(official.getAnnIds()):
        shift = int(generator.integers(8))
        moved = np.roll(decoded(official.annToRLE(annotation)), shift, axis=1)
        packed = coco_mask.encode(np.asfortranarray(moved))
        plain = result(
            np.add(annotation["bbox"], [shift, 0, 0, 0]).tolist(),
            round(float(generator.random()), 2),
            image_id=annotation["image_id"],
            category_id=int(generator.choice([annotation["category_id"]] * 9 + official.getCatIds()[:1])),
        )
        segmentation = {"size": list(packed["size"]), "counts": packed["counts"].decode()}
        found.append(masked(plain, segmentation))
    metrics = score_file(path, found, with_masks=True)
    iou_types: dict[Task, str] = {"box": "bbox", "mask": "segm"}
    for task, iou_type in iou_types.items():
        # Of masks without their boxes, as pycocotools takes these for the areas otherwise.
        left_away = None if task == "box" else "bbox"
        given = [{key: value for key, value in item.items() if key != left_away} for item in found]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(official, official.loadRes(given), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        of_task = metrics.tasks[task]
        assert list(of_task.numbers.values()) == [None if x < 0 else x for x in evaluation.stats]
        np.testing.assert_array_equal(of_task.precision, evaluation.eval["precision"][..., 0, -1])
        assert 0.2 < (of_task.numbers["AP"] or 0) < 0.95


def decoded(packed: dict[str, Any]) -> NDArray[np.uint8]:
    counts = packed["counts"]
    lengths = unpack_run_lengths(counts if isinstance(counts, bytes) else counts.encode())
    return bitmap_of_runs(lengths, Size(*packed["size"])).astype(np.uint8)


def test_a_back_end_changes_no_number(tmp_path: Path) -> None:
    boxes = [[60 * i, 0, 50, 50 + 9 * i] for i in range(5)]
    annotations = [truth(box, category_id=2 - i % 2) for i, box in enumerate(boxes)]
    found = [result(box, 0.5, category_id=1 + i % 2) for i, box in enumerate(boxes[1:])]
    path = write_annotations(tmp_path, annotations, categories=((2, "b"), (1, "a")))
    loaded = load_coco(path, with_truth=True)
    fast = score_detections(loaded, table_of(loaded, found), more_limits=(200,))
    slow = score_detections(loaded, table_of(loaded, found), more_limits=(200,), back_end="pycocotools")
    assert fast.to_json() == slow.to_json()
    assert 0 < (fast.numbers["box"]["AP"] or 0) < 1
    np.testing.assert_array_equal(fast.tasks["box"].precision, slow.tasks["box"].precision)


def test_more_detections_than_cocos_hundred_have_numbers_of_their_own(tmp_path: Path) -> None:
    wrong = [result(OTHER, 0.9 - row / 1000) for row in range(100)]
    path = write_annotations(tmp_path, [truth(LARGE)])
    loaded = load_coco(path, with_truth=True)
    table = table_of(loaded, [*wrong, result(LARGE, 0.1)])
    numbers = score_detections(loaded, table, more_limits=(200, 300)).numbers["box"]
    # The right one is the 101st: a precision of 1/101 at every recall, and nobody sees it among 100.
    assert (numbers["AP"], numbers["AR100"]) == (0, 0)
    assert {name: numbers[name] for name in list(numbers)[12:]} == {
        "AP@300": pytest.approx(1 / 101),
        "AR200": 1,
        "AR300": 1,
        "ARs300": None,
        "ARm300": None,
        "ARl300": 1,
    }


def test_scores_need_the_annotation_file_no_more(tmp_path: Path) -> None:
    path = write_annotations(tmp_path, [truth(LARGE)])
    loaded = load_coco(path, with_truth=True)
    path.unlink()
    metrics = score_detections(loaded, table_of(loaded, [result(LARGE, 0.9)]))
    assert metrics.numbers["box"]["AP"] == pytest.approx(1)


@pytest.mark.parametrize("back_end", get_args(BackEnd))
@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("column", ["boxes", "scores"])
def test_detections_that_are_no_numbers_have_no_metrics(
    column: str, number: float, back_end: BackEnd, tmp_path: Path
) -> None:
    loaded = load_coco(write_annotations(tmp_path, [truth(LARGE)]), with_truth=True)
    table = table_of(loaded, [result(LARGE, 0.9), result(OTHER, 0.8, image_id=2)])
    getattr(table, column)[1] = number
    with pytest.raises(ValueError, match="a detection in picture 2 has a box or a score that is NaN or inf"):
        score_detections(loaded, table, back_end=back_end)


@pytest.mark.parametrize("with_truth", [False, True])
def test_what_was_not_loaded_cannot_be_scored_with(with_truth: bool, tmp_path: Path) -> None:
    loaded = load_coco(write_annotations(tmp_path, [truth(LARGE)]), with_truth=with_truth)
    table = table_of(loaded, [result(LARGE, 0.9)])
    with pytest.raises(ValueError, match="loaded without the ground truth"):
        score_detections(loaded, replace(table, masks=[runs_of((0, 0, 9, 9))]))
