"""COCO's numbers as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import Name, plain_table, shown_path
from hrdet_cli.engine.evaluation.coco_metrics import NUMBERS
from hrdet_cli.runs.evaluation.evaluation import EvaluationReport
from hrdet_cli.wording import counted, first_and_count, shortened

MOST_CLASSES = 100
"""So many classes with boxes are all listed; of more, only the best and the worst."""
NUM_BEST, NUM_WORST = 15, 15
NAME_WIDTH = 40


def draw_report(report: EvaluationReport) -> RenderableType:
    """The numbers of boxes, and of masks, and a row for each class that has boxes."""
    evaluation = report.evaluation
    metrics, origin = evaluation.metrics, evaluation.origin
    tables: list[RenderableType] = []
    for task, numbers in metrics.numbers.items():
        head: list[RenderableType] = [Text("mask AP"), Text()] if task == "mask" else []
        tables += [*head, draw_numbers(numbers), Text()]
    head_line = Text.assemble(
        "box AP on ",
        (counted(origin.num_pictures, "picture"), "bold"),
        f" of {shown_path(origin.title)}, {shown_path(origin.weights)}",
    )
    return Group(head_line, Text(), *tables, *_draw_classes(metrics.to_json()["classes"]), Text())


def draw_numbers(numbers: Mapping[str, float | None]) -> Table:
    """COCO's precisions above its recalls, those that there are, and what there is besides."""
    table = plain_table(show_header=False)
    rows = [[name for name in row if name in numbers] for row in (NUMBERS[:6], NUMBERS[6:])]
    rows.append([name for name in numbers if name not in NUMBERS])
    for names in filter(None, rows):
        cells: list[str | Text] = []
        for name in names:
            cells += [Text(name, style="bold"), format_ap(numbers[name])]
        table.add_row(*cells)
    return table


def format_ap(value: float | None) -> str:
    """Three decimals, or a dash where there is nothing to average."""
    return "-" if value is None else f"{value:.3f}"


def _draw_classes(classes: Mapping[str, Mapping[str, Any]]) -> list[RenderableType]:
    """Classes that have boxes, or the best and the worst of many; and how many have none."""
    scored = {name: row for name, row in classes.items() if row["num_boxes"]}
    without = [shortened(name, NAME_WIDTH) for name in classes if name not in scored]
    table = plain_table()
    table.add_column("class", style="cyan")
    columns = [key for key in next(iter(classes.values())) if key != "num_boxes"]
    for heading in (*(key.replace("_", " ") for key in columns), "boxes"):
        table.add_column(heading, justify="right")
    if len(scored) <= MOST_CLASSES:
        _add_rows(table, scored, columns)
    else:
        by_ap = sorted(scored.items(), key=lambda item: item[1]["AP"], reverse=True)
        _add_rows(table, dict(by_ap[:NUM_BEST]), columns)
        table.add_row(f"... {counted(len(by_ap) - NUM_BEST - NUM_WORST, 'class', 'classes')} between")
        _add_rows(table, dict(by_ap[-NUM_WORST:]), columns)
    lines: list[RenderableType] = [table]
    if len(scored) > MOST_CLASSES:
        lines.append("metrics.json has all of them")
    if without:
        number = counted(len(without), "class", "classes")
        lines.append(f"{number} without boxes in these data: {first_and_count(without)}")
    return lines


def _add_rows(table: Table, classes: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> None:
    for name, row in classes.items():
        cells = (*(format_ap(row[column]) for column in columns), str(row["num_boxes"]))
        table.add_row(Name(name, most=NAME_WIDTH), *cells)
