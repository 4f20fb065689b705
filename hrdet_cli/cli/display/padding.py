"""A comparison of padding policies as a table."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.runs.benchmark_pad import PaddingComparison, PaddingCost


def draw_comparison(comparison: PaddingComparison) -> RenderableType:
    """A row for each policy."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("--set", style="cyan")
    for heading in ("useful pixels", "canvases", "data img/s", "step img/s"):
        table.add_column(heading, justify="right")
    for cost in comparison.costs:
        table.add_row(*_row(cost))
    head = (
        f"medians of {comparison.num_batches} batches of {comparison.batch_size} pictures, "
        f"policies in turn, on {comparison.device}; data path in one process"
    )
    return Group(Text(head, style="dim"), table)


def _row(cost: PaddingCost) -> list[str]:
    step = cost.step_images_per_second
    return [
        cost.setting,
        f"{cost.useful_pixel_share:.1%}",
        str(cost.num_canvases),
        f"{cost.data_images_per_second:.1f}",
        "-" if step is None else f"{step:.2f}",
    ]
