"""What was exported, and how the check of an ONNX model came out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from hrdet_cli.cli.display.console import plain_table
from hrdet_cli.runs.export.export import ExportReport
from hrdet_cli.wording import counted

if TYPE_CHECKING:
    from hrdet_cli.engine.export.onnx_check import Agreement

_MEGABYTE = 1e6


def print_export(report: ExportReport, console: Console) -> None:
    """Print the check, where there was one, and the file."""
    if report.agreements:
        console.print(_draw_check(report.agreements))
        console.print()
    megabytes = report.num_bytes / _MEGABYTE
    console.print(
        f"{report.path}: {counted(report.num_tensors, 'tensor')}, {megabytes:.1f} MB", soft_wrap=True
    )


def _draw_check(agreements: Sequence["Agreement"]) -> Table:
    """A row for each picture: what the detector and onnxruntime found in it."""
    table = plain_table()
    table.add_column("picture", style="cyan")
    headings = ["detector", "onnxruntime", "in one only", "largest difference", "of scores"]
    has_masks = any(found.mask_difference is not None for found in agreements)
    for heading in [*headings, "of masks"] if has_masks else headings:
        table.add_column(heading, justify="right")
    for found in agreements:
        table.add_row(
            str(found.size),
            str(found.num_detections),
            str(found.num_exported),
            str(found.num_alone),
            f"{found.box_difference_pixels:.5f} pixels",
            f"{found.score_difference:.6f}",
            *([] if found.mask_difference is None else [f"{found.mask_difference:.6f}"]),
        )
    return table
