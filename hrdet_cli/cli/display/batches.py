"""Inspected batches and their summary as tables."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import Name, plain_table
from hrdet_cli.runs.inspect_batch.inspection import Inspection
from hrdet_cli.runs.inspect_batch.tables import TextTable, batch_table, summary_tables


def draw_inspection(inspection: Inspection) -> RenderableType:
    """A table for each batch, then the summary, then where everything is."""
    parts: list[RenderableType] = []
    for batch in inspection.batches:
        table = batch_table(batch)
        parts += [_title(batch.sheet.stem, table.title), _draw_table(table), Text()]
    if inspection.summary is not None:
        for table in summary_tables(inspection.summary):
            parts += [_title(table.title), _draw_table(table)]
            parts += [Text(table.note, style="dim")] if table.note else []
            parts.append(Text())
    parts.append(Text("written:", style="bold"))
    parts += [Text(f"  {file}", overflow="fold") for file in inspection.files]
    return Group(*parts)


def _title(name: str, rest: str = "") -> Text:
    return Text.assemble((name, "bold"), f": {rest}" if rest else "")


def _draw_table(table: TextTable) -> Table:
    drawn = plain_table(show_header=bool(table.headings))
    num_columns = len(table.rows[0]) if table.rows else 0
    for number in range(num_columns):
        heading = table.headings[number] if table.headings else ""
        is_text = number == 0 or not table.headings or heading == "changed"  # which may take several lines
        drawn.add_column(
            heading,
            justify="left" if is_text else "right",
            style="cyan" if number == 0 else "",
            overflow="fold",
            no_wrap=not is_text,
        )
    for row in table.rows:
        drawn.add_row(Name(row[0]), *map(Text, row[1:]))
    return drawn
