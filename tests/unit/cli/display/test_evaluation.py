"""How an evaluation looks on the screen."""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from hrdet_cli.cli.display.evaluation import draw_report
from hrdet_cli.engine.evaluation.coco_metrics import NUMBERS, ClassMetrics, CocoMetrics, TaskMetrics
from hrdet_cli.runs.evaluation.evaluation import EvaluationReport
from hrdet_cli.runs.evaluation.scores import Evaluation
from hrdet_cli.runs.origin import Origin


def task_metrics(classes: dict[str, ClassMetrics], value: float) -> TaskMetrics:
    nothing = np.zeros(0)
    return TaskMetrics(dict.fromkeys(NUMBERS, value), classes, nothing, nothing, nothing)


def drawn(
    classes: dict[str, ClassMetrics],
    *,
    masks: dict[str, ClassMetrics] | None = None,
    num_pictures: int = 60,
) -> list[str]:
    metrics = CocoMetrics({"box": task_metrics(classes, 0.5)})
    if masks is not None:
        metrics = CocoMetrics({**metrics.tasks, "mask": task_metrics(masks, 0.25)})
    origin = Origin(
        weights="runs/x/checkpoints/best.pt",
        step=1,
        epoch=1,
        annotations=Path("val.json"),
        images=Path("images"),
        fingerprint="",
        num_pictures=num_pictures,
    )
    report = EvaluationReport(Evaluation(origin, metrics, ()), (), (), ())
    file = io.StringIO()
    Console(file=file, width=80, highlight=False, markup=False).print(draw_report(report))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_of_many_classes_the_best_and_the_worst_are_shown_and_those_without_boxes_counted() -> None:
    classes = {f"class {n}": ClassMetrics(n / 2000, n / 1000, 3) for n in range(1000)}
    classes |= {f"empty {n}": ClassMetrics(None, None, 0) for n in range(300)}
    lines = drawn(classes)
    assert len(lines) < 50
    names = [line.split("  ")[0] for line in lines if line.startswith(("class ", "..."))][1:]
    assert names[:2] == ["class 999", "class 998"]
    assert names[15] == "... 970 classes between"
    assert names[-1] == "class 0"
    assert (
        "300 classes without boxes in these data: empty 0, empty 1, empty 2, empty 3, empty 4 and 295 more"
        in (" ".join(lines))
    )


def test_few_classes_are_shown_in_their_own_order() -> None:
    lines = drawn({"b": ClassMetrics(0.1, 0.2, 1), "a": ClassMetrics(0.3, 0.4, 2)}, num_pictures=1)
    assert lines[0] == "box AP on 1 picture of val.json, runs/x/checkpoints/best.pt"
    assert [line[0] for line in lines if line.startswith(("a ", "b "))] == ["b", "a"]


def test_a_long_name_keeps_its_ends_and_the_numbers_their_place() -> None:
    lines = drawn({"very " * 30 + "long [name]": ClassMetrics(0.1, 0.2, 1)})
    row = next(line for line in lines if line.startswith("very"))
    assert "..." in row
    assert row.endswith("long [name]  0.100  0.200      1")


def test_masks_have_their_numbers_below_those_of_boxes_and_columns_beside_them() -> None:
    lines = drawn({"a": ClassMetrics(0.1, 0.2, 3)}, masks={"a": ClassMetrics(0.3, 0.4, 3)}, num_pictures=1)
    start = lines.index("mask AP")
    assert lines[start - 3 : start - 1] == [
        "AP   0.500  AP50  0.500  AP75   0.500  APs  0.500  APm  0.500  APl  0.500",
        "AR1  0.500  AR10  0.500  AR100  0.500  ARs  0.500  ARm  0.500  ARl  0.500",
    ]
    assert lines[start + 2].startswith("AP   0.250  AP50  0.250")
    assert lines[start + 5 : start + 7] == [
        "class     AP   AP50  mask AP  mask AP50  boxes",
        "a      0.100  0.200    0.300      0.400      3",
    ]
