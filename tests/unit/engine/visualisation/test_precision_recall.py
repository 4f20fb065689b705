import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data.synthetic import make_demo_data
from hrdet_cli.engine.visualisation.palette import INK, class_colour
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall

THRESHOLDS = tuple(np.arange(0.5, 1, 0.05))


def flat(*averages: float) -> np.ndarray:
    """``(10, 101, K)``: classes whose precision is the same at every recall and overlap."""
    return np.broadcast_to(np.array(averages), (10, 101, len(averages)))


def test_the_numbers_are_those_of_pycocotools(tmp_path: Path, texts_of_axes: list[str]) -> None:
    make_demo_data(tmp_path / "demo", seed=2, num_train_images=1, num_val_images=12)
    coco = COCO(tmp_path / "demo" / "val.json")
    generator = np.random.default_rng(0)
    results = [
        {
            "image_id": annotation["image_id"],
            "category_id": annotation["category_id"],
            "bbox": (annotation["bbox"] + generator.normal(0, 3, 4)).clip(1).tolist(),
            "score": float(generator.random()),
        }
        for annotation in coco.loadAnns(coco.getAnnIds())
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    draw_precision_recall(
        precision, iou_thresholds=evaluation.params.iouThrs, class_names=names, overlap_of="boxes"
    )
    average, at_half, at_three_quarters = evaluation.stats[:3]
    assert 0 < at_three_quarters < at_half < 1
    assert f"IoU 0.50:  {at_half:.3f}" in texts_of_axes
    assert f"IoU 0.75:  {at_three_quarters:.3f}" in texts_of_axes
    assert f"0.50 to 0.95:  {average:.3f}" in texts_of_axes
    for label, name in enumerate(names):
        assert name in texts_of_axes
        assert f"{precision[0, :, label].mean():.3f}" in texts_of_axes


def test_classes_are_listed_from_best_to_worst(texts_of_axes: list[str]) -> None:
    draw_precision_recall(
        flat(0.2, 0.9, 0.5),
        iou_thresholds=THRESHOLDS,
        class_names=["low", "high", "middle"],
        overlap_of="boxes",
    )
    assert [text for text in texts_of_axes if text in ("low", "high", "middle")] == ["high", "middle", "low"]


def test_curves_have_the_colours_of_their_classes() -> None:
    picture = draw_precision_recall(
        flat(0.2, 0.9, 0.4), iou_thresholds=THRESHOLDS, class_names=["a", "b", "c"], overlap_of="boxes"
    )
    assert picture.size == (1400, 600)
    assert picture.mode == "RGB"
    panel = np.asarray(picture)[115:535, 623:1085]  # 420 rows, from precision 1.005 down to 0
    for colour, precision in (
        (class_colour(0), 0.2),
        (class_colour(1), 0.9),
        (class_colour(2), 0.4),
        (INK, 0.5),
    ):
        rows = np.flatnonzero((np.abs(panel.astype(int) - colour).max(axis=2) < 40).mean(axis=1) > 0.9)
        assert rows.mean() == pytest.approx(420 * (1 - precision / 1.005), abs=3)


def test_classes_without_ground_truth_are_counted_and_left_out_of_the_mean(texts_of_axes: list[str]) -> None:
    draw_precision_recall(
        flat(0.4, -1, 0.6), iou_thresholds=THRESHOLDS, class_names=["a", "absent", "c"], overlap_of="boxes"
    )
    assert "1 without objects" in texts_of_axes
    assert "absent" not in texts_of_axes
    assert "IoU 0.50:  0.500" in texts_of_axes


def test_nothing_to_measure_is_no_error(texts_of_axes: list[str]) -> None:
    draw_precision_recall(flat(-1, -1), iou_thresholds=THRESHOLDS, class_names=["a", "b"], overlap_of="boxes")
    assert "IoU 0.50:  –" in texts_of_axes
    assert "2 without objects" in texts_of_axes


def test_of_eighty_classes_the_best_and_the_worst_are_named(texts_of_axes: list[str]) -> None:
    averages = np.linspace(0.1, 0.9, 80)
    draw_precision_recall(
        flat(*averages),
        iou_thresholds=THRESHOLDS,
        class_names=[f"class {number}" for number in range(80)],
        overlap_of="boxes",
    )
    named = [text for text in texts_of_axes if text.startswith("class ")]
    assert named == [f"class {number}" for number in (79, 78, 77, 76, 75, 74, 5, 4, 3, 2, 1, 0)]
    assert "68 more between" in texts_of_axes


def test_names_with_dollars_and_unknown_letters_are_drawn() -> None:
    draw_precision_recall(
        flat(0.5, 0.6), iou_thresholds=THRESHOLDS, class_names=["$a_$^$", "猫"], overlap_of="boxes"
    )


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    program = """
import sys, numpy
from hrdet_cli.engine.visualisation.precision_recall import draw_precision_recall
half = numpy.full((2, 101, 1), .5)
draw_precision_recall(half, iou_thresholds=(.5, .75), class_names=["a"], overlap_of="boxes")
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
