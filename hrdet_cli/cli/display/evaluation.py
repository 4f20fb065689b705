"""COCO's numbers as tables."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.runs.evaluate import EvaluationReport


def draw_report(report: EvaluationReport) -> RenderableType:
    """The twelve numbers and a row for each class."""
    document = report.metrics.to_json()
    classes = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    classes.add_column("class", style="cyan")
    for heading in ("AP", "AP50", "boxes"):
        classes.add_column(heading, justify="right")
    for name, numbers in document["classes"].items():
        classes.add_row(name, format_ap(numbers["AP"]), format_ap(numbers["AP50"]), str(numbers["num_boxes"]))
    head = Text.assemble(
        ("box AP on ", ""), (f"{report.num_pictures} pictures", "bold"), f", {report.source}"
    )
    return Group(head, Text(), draw_box_numbers(document["box"]), Text(), classes, Text())


def draw_box_numbers(box: Mapping[str, float | None]) -> Table:
    """Six precisions above six recalls."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for names in (["AP", "AP50", "AP75", "APs", "APm", "APl"], ["AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]):
        cells: list[str | Text] = []
        for name in names:
            cells += [Text(name, style="bold"), format_ap(box[name])]
        table.add_row(*cells)
    return table


def format_ap(value: float | None) -> str:
    """Three decimals, or a dash where there is nothing to average."""
    return "-" if value is None else f"{value:.3f}"
