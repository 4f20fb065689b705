"""Rows that begin with a name."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_NAME_STYLE = "bold cyan"
_FEWEST_COLUMNS = 30
"""For what is broken between words; with less there is no table."""
_BETWEEN = 2


class NamedRows:
    """A table in which names are whole, since people copy them.

    The second column is broken between words. Where that leaves it too little room, each name has a line of
    its own, and the rest of its row stands below.

    Args:
        headings: Of the columns.
        rows: Cells; the first one is the name, and the third and later ones are kept whole, too.
        name_width: Columns that the names have at least, so that several tables agree.
    """

    def __init__(
        self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, name_width: int = 0
    ) -> None:
        self._headings = headings
        self._rows = rows
        self._name_width = name_width

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._fewest_columns() <= options.max_width:
            yield self._table()
            return
        for name, *cells in self._rows:
            yield Text(name, style=_NAME_STYLE, overflow="fold")
            yield Padding(Text("  ".join(cell for cell in cells if cell)), (0, 0, 0, _BETWEEN))

    def _fewest_columns(self) -> int:
        widths = [max(map(len, column)) for column in zip(self._headings, *self._rows, strict=True)]
        widths[0] = max(widths[0], self._name_width)
        widths[1] = min(widths[1], _FEWEST_COLUMNS)
        return sum(widths) + _BETWEEN * (len(widths) - 1)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, _BETWEEN, 0, 0))
        for position, heading in enumerate(self._headings):
            is_name = position == 0
            table.add_column(
                heading,
                style=_NAME_STYLE if is_name else "",
                no_wrap=position != 1,
                min_width=self._name_width if is_name else None,
            )
        for row in self._rows:
            table.add_row(*row)
        return table
