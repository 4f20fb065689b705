"""A page as the text of one HTML file."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hrdet_cli.engine.visualisation.palette import hex_of
from hrdet_cli.engine.visualisation.svg import Svg
from hrdet_cli.engine.visualisation.theme import THEME, css_of
from hrdet_cli.pages.blocks import Block, Cell, Details, Grid, Page, Section, Table
from hrdet_cli.pages.embedding import PictureStore
from hrdet_cli.wording import shortened

_NAME_LENGTH = 48
_NO_WORD = re.compile(r"[^a-z0-9]+")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TEMPLATES = Path(__file__).with_name("templates")


def render_page(page: Page) -> str:
    """The page as one file, with its style, its pictures and, where tables can be sorted, a script.

    Pictures are read and embedded until the page has 9 MB of them; those that come after, and those that
    cannot be read, are named.
    """
    template = _environment().get_template("page.html.jinja")
    return template.render(
        page=page,
        anchors=_anchors(page),
        themes={theme: _variables(number) for number, theme in enumerate(("light", "dark"))},
        embed=PictureStore().embed,
        is_sortable=any(isinstance(block, Table) and block.is_sortable for block in _all_blocks(page)),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, short=_short, css=css_of, drawing=_drawing)
    environment.globals["source"] = _source
    return environment


def _finalised(value: object) -> object:
    """Without characters that no HTML may have, which file names can."""
    return _NO_TEXT.sub("\ufffd", value) if type(value) is str else value


def _source(name: str) -> Markup:
    """A style sheet or a script of the templates, as it is."""
    return Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704  # our own file


def _drawing(svg: Svg) -> Markup:
    """A drawing as it is: `render_svg` made it, and the texts in it were escaped by matplotlib."""
    return Markup(svg.text)  # noqa: S704


def _cell(value: str | Cell) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)


def _short(text: str) -> str:
    """A name that leaves room for the other columns."""
    return shortened(text, _NAME_LENGTH)


def _variables(theme: int) -> Mapping[str, str]:
    return {name: hex_of(colours[theme]) for name, colours in THEME.items()}


def _anchors(page: Page) -> list[tuple[str, Section]]:
    """The sections with names to be linked by, each one's own."""
    named: dict[str, Section] = {}
    for section in page.sections:
        name = _NO_WORD.sub("-", section.title.lower()).strip("-") or "section"
        number = 2
        while name in named:
            name = f"{name}-{number}"
            number += 1
        named[name] = section
    return list(named.items())


def _all_blocks(page: Page) -> Iterator[Block]:
    """Those of a page and its sections, with what is inside of blocks."""
    waiting = [*page.blocks, *(block for section in page.sections for block in section.blocks)]
    while waiting:
        block = waiting.pop()
        yield block
        if isinstance(block, Grid | Details):
            waiting += block.blocks
