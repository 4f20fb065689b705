from pathlib import Path

from hrdet_cli.pages.blocks import Details, Facts, Grid, Picture, Table
from hrdet_cli.runs.inspect_batch.page import Sheet, make_page
from hrdet_cli.runs.inspect_batch.tables import TextTable

SHARES = TextTable("Canvases", ("canvas", "share"), (("96x64", "25.0%"), ("64x96", "75.0%")), "a note")
COUNTS = TextTable("Batches", (), (("pictures", "20"),))


def test_tables_come_before_sheets_and_a_sheet_has_its_own_folded_below() -> None:
    sheets = [Sheet(Path("batch-1.png"), "batch-1", SHARES), Sheet(Path("scales.png"), "scales")]
    page = make_page(title="t", facts=[("command", "hrdet x")], tables=[SHARES, COUNTS], sheets=sheets)
    overview, drawn = page.sections
    (panels,) = overview.blocks
    assert isinstance(panels, Grid)
    told, shares, counts = panels.blocks
    assert isinstance(told, Facts)
    assert told.facts == [("command", "hrdet x")]
    assert isinstance(shares, Table)
    assert [(column.heading, column.kind) for column in shares.columns] == [
        ("canvas", "text"),
        ("share", "number"),
    ]
    assert (shares.rows, shares.note) == (SHARES.rows, "a note")
    assert isinstance(counts, Facts)
    assert counts.facts == [("pictures", "20")]
    assert drawn.blocks == [
        Picture(Path("batch-1.png"), "batch-1", is_sheet=True),
        Details("its pictures as a table", [shares]),
        Picture(Path("scales.png"), "scales", is_sheet=True),
    ]
