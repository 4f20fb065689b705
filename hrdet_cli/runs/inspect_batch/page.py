"""One HTML page with the sheets and tables of an inspection: no other file, no script, no network."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from hrdet_cli.runs.inspect_batch.tables import TextTable
from hrdet_cli.wording import shortened

_MOST_BYTES = 9_000_000
_JPEG_QUALITY = 85
_NAME_LENGTH = 40

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #181c24; --muted: #5c6470; --rule: #d8dce2;
  --panel: #f5f6f8; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181d; --ink: #e6e8ec; --muted: #9aa3af;
  --rule: #343a44; --panel: #1d2128; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem clamp(1rem, 4vw, 3rem) 4rem; max-width: 100rem;
  background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
p { color: var(--muted); font-size: .875rem; margin: .5rem 0 0; max-width: 60ch; }
.tables { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr));
  margin: 1.5rem 0; }
section { background: var(--panel); border-radius: .5rem; padding: 1rem 1.25rem; min-width: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: right; vertical-align: top; white-space: nowrap;
  border-top: 1px solid var(--rule); }
tr:first-child > * { border-top: 0; }
th { font-weight: 600; }
thead th { color: var(--muted); font-weight: 400; }
tbody th, thead th:first-child { text-align: left; }
.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; width: 100%; }
figure { margin: 2rem 0; }
@media (max-width: 60rem) { figure .scroll { margin: 0 calc(-1 * clamp(1rem, 4vw, 3rem)); }
  figure .scroll img { width: auto; max-width: none; border-radius: 0; } }
figcaption { margin-bottom: .5rem; font-weight: 600; overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; max-width: max-content; border-radius: .5rem; }
details { margin-top: .5rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--muted); }
"""


@dataclass(frozen=True, slots=True)
class Figure:
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
    *, title: str, facts: Sequence[tuple[str, str]], tables: Sequence[TextTable], figures: Sequence[Figure]
) -> str:
    """Write the page.

    Pictures are embedded as JPEG until the page has 9 MB; those that come after are only named.

    Args:
        title: Its heading.
        facts: Names and values that say what was inspected.
        tables: Go before the figures.
        figures: Already written; each file is read.
    """
    panels = [TextTable("What was inspected", (), tuple(facts)), *tables]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head>",
            f"<body><h1>{escape(title)}</h1>",
            '<div class="tables">',
            *(_panel(table) for table in panels),
            "</div>",
            *_figures(figures),
            "</body></html>",
            "",
        ]
    )


def _panel(table: TextTable) -> str:
    note = f"<p>{escape(table.note)}</p>" if table.note else ""
    return f"<section><h2>{escape(table.title)}</h2>{_table(table)}{note}</section>"


def _table(table: TextTable) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in table.headings)
    rows = "".join(
        f'<tr><th scope="row">{_name(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    kind = "" if table.headings else ' class="facts"'
    return (
        f'<div class="scroll"><table{kind}>'
        + (f"<thead><tr>{head}</tr></thead>" if head else "")
        + f"<tbody>{rows}</tbody></table></div>"
    )


def _name(text: str) -> str:
    """A name that leaves room for the figures; the whole one is shown where the pointer rests."""
    short = shortened(text, _NAME_LENGTH)
    return escape(text) if short == text else f'<span title="{escape(text)}">{escape(short)}</span>'


def _figures(figures: Sequence[Figure]) -> Iterator[str]:
    num_bytes = 0
    for figure in figures:
        caption, name = escape(figure.caption), escape(figure.file.name)
        encoded, (width, height) = _encode(figure.file)
        num_bytes += len(encoded)
        if num_bytes <= _MOST_BYTES:
            source = f"data:image/jpeg;base64,{encoded}"
            image = f'<img src="{source}" width="{width}" height="{height}" alt="{caption}">'
            picture = (
                f'<div class="scroll">{image}</div>'  # a small screen shows a part, in letters to be read
            )
        else:
            picture = f"<p>Not in this page, which is large enough: see {name} beside it.</p>"
        more = ""
        if figure.table is not None:
            more = f"<details><summary>its pictures as a table</summary>{_table(figure.table)}</details>"
        yield f"<figure><figcaption>{caption}</figcaption>{picture}{more}</figure>"


def _encode(file: Path) -> tuple[str, tuple[int, int]]:
    """A picture as base64 of a JPEG, a quarter of the PNG; and its width and height."""
    encoded = io.BytesIO()
    with Image.open(file) as picture:
        picture.save(encoded, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)  # letters have colours
        return base64.b64encode(encoded.getvalue()).decode("ascii"), picture.size
