"""Inspected batches as a table."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.runs.inspect_batch import PicturedBatch


def draw_batches(batches: Sequence[PicturedBatch]) -> RenderableType:
    """A table for each batch, headed by its canvas, useful share and picture file."""
    return Group(*(part for batch in batches for part in _draw_batch(batch)))


def _draw_batch(batch: PicturedBatch) -> list[RenderableType]:
    head = Text.assemble(
        (str(batch.sheet), "bold"), f": canvas {batch.canvas}, {batch.useful_pixel_share:.1%} useful pixels"
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column("picture", style="cyan")
    for heading in ("original", "placed", "boxes", "ignored"):
        table.add_column(heading, justify="right")
    table.add_column("changed")
    for picture in batch.pictures:
        changes = [word for word in ("flipped", "cropped") if picture[word]]
        numbers = [str(picture[key]) for key in ("original", "placed", "num_boxes", "num_ignored")]
        table.add_row(picture["file"], *numbers, ", ".join(changes))
    return [head, table]
