"""What pages are made of, in plain texts: how it looks is decided by the templates alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from PIL import Image

from hrdet_cli.engine.visualisation.svg import Svg

Tone = Literal["plain", "muted", "good", "bad"]
"""How a text is meant; never the only thing that says so."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table or a fact, where it is more than its text.

    Attributes:
        text: What is read.
        order: What a sorted table goes by; None for the text, which in columns of numbers is read as one.
        bar: A share in [0, 1], drawn as a bar behind the text.
        tone: How it is meant.
        hint: Shown where the pointer rests; the text has to do without it.
    """

    text: str
    order: float | None = None
    bar: float | None = None
    tone: Tone = "plain"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        heading: Its name.
        kind: Texts stand left, numbers right; code is written as such.
        hint: What the heading means, where the pointer rests.
    """

    heading: str
    kind: Literal["text", "number", "code"] = "text"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values; a wide table scrolls in a box of its own.

    Attributes:
        caption: What it is about.
        columns: The first one names the rows.
        rows: As many values each as there are columns.
        note: What has to be said about it, below.
        is_sortable: Whether the reader may sort it by any column.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    note: str = ""
    is_sortable: bool = False
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Refuse rows of another length.

        Raises:
            ValueError: A row has more or fewer values than there are columns.
        """
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.caption}: a row of {len(row)} values in {len(self.columns)} columns")


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values.

    Attributes:
        facts: A name and a value each.
        caption: What they are about; none where the section says it.
        note: What has to be said about them, below.
    """

    facts: Sequence[tuple[str, str | Cell]]
    caption: str = ""
    note: str = ""
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True, slots=True)
class Highlight:
    """A number that is seen first.

    Attributes:
        label: What it is.
        value: As it is read.
        note: A few words more.
        tone: How it is meant.
    """

    label: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Highlights:
    """The numbers of a page or a section, in large letters."""

    items: Sequence[Highlight]
    kind: ClassVar[str] = "highlights"


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs, with an empty line between two; ends of lines inside one are kept.

    Attributes:
        text: What is read.
        look: A remark is smaller; a note stands out.
    """

    text: str
    look: Literal["plain", "remark", "note"] = "plain"
    kind: ClassVar[str] = "text"

    @property
    def paragraphs(self) -> list[str]:
        """One by one."""
        return [paragraph for paragraph in self.text.split("\n\n") if paragraph.strip()]


@dataclass(frozen=True, slots=True)
class Items:
    """A list of short texts."""

    items: Sequence[str]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True, slots=True)
class Listing:
    """A text of code, such as a spec or a command, letter by letter.

    Attributes:
        text: As it is.
        caption: What it is.
    """

    text: str
    caption: str = ""
    kind: ClassVar[str] = "listing"


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing that turns light or dark with the page.

    Attributes:
        svg: What was drawn; its keys are listed above it.
        caption: What it shows.
        alt: What is to be seen in it, for who cannot see it.
    """

    svg: Svg
    caption: str
    alt: str
    kind: ClassVar[str] = "plot"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, which the page holds.

    Attributes:
        source: A file, which is read when the page is made, or pixels.
        caption: What it shows.
        alt: What is to be seen in it, for who cannot see it; the caption where nothing else is said.
        is_sheet: Whether it has letters that must stay readable: on a small screen it scrolls.
    """

    source: Path | Image.Image
    caption: str
    alt: str = ""
    is_sheet: bool = False
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True, slots=True)
class Grid:
    """Blocks side by side, as many as there is room for.

    Attributes:
        blocks: Of about one height.
        width: Of each: what is narrow is found four times on a desktop, medium three times, wide twice.
    """

    blocks: Sequence["Block"]
    width: Literal["narrow", "medium", "wide"] = "wide"
    kind: ClassVar[str] = "grid"


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that are folded away until somebody asks for them.

    Attributes:
        summary: What is seen instead.
        blocks: What is folded.
    """

    summary: str
    blocks: Sequence["Block"]
    kind: ClassVar[str] = "details"


Block = Table | Facts | Highlights | Text | Items | Listing | Plot | Picture | Grid | Details


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page that its contents name.

    Attributes:
        title: Its heading.
        blocks: One below the other.
        lead: What to know before reading on, in a sentence or two.
    """

    title: str
    blocks: Sequence[Block]
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        title: Its heading, and its name in the browser.
        sections: In their order.
        lead: What it is about, below the heading.
        blocks: What goes before the first section.
        footer: Who made it, of what.
    """

    title: str
    sections: Sequence[Section]
    lead: str = ""
    blocks: Sequence[Block] = ()
    footer: str = ""
