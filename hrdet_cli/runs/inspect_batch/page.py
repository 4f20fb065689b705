"""The page of an inspection: its sheets and its tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.pages.blocks import Block, Column, Details, Facts, Grid, Page, Picture, Section, Table
from hrdet_cli.runs.inspect_batch.tables import TextTable


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of the page.

    Attributes:
        file: A PNG file in the folder of the page.
        caption: What it shows.
        table: The same in figures, shown on demand.
    """

    file: Path
    caption: str
    table: TextTable | None = None


def make_page(
    *, title: str, facts: Sequence[tuple[str, str]], tables: Sequence[TextTable], sheets: Sequence[Sheet]
) -> Page:
    """Put the page together.

    Args:
        title: Its heading.
        facts: Names and values that say what was inspected.
        tables: Go before the sheets.
        sheets: Already written.
    """
    panels = [Facts(facts, "What was inspected"), *map(_block, tables)]
    shown = [block for sheet in sheets for block in _sheet_blocks(sheet)]
    return Page(title, (Section("Overview", (Grid(panels),)), Section("Sheets", shown)))


def _block(table: TextTable) -> Table | Facts:
    """A table; where its rows are names and values, facts."""
    if not table.headings:
        return Facts([(name, value) for name, value in table.rows], table.title, table.note)
    first, *others = table.headings
    columns = [Column(first), *(Column(heading, "number") for heading in others)]
    return Table(table.title, columns, table.rows, table.note)


def _sheet_blocks(sheet: Sheet) -> list[Block]:
    picture = Picture(sheet.file, sheet.caption, is_sheet=True)
    if sheet.table is None:
        return [picture]
    return [picture, Details("its pictures as a table", [_block(sheet.table)])]
