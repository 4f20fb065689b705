"""What a page is as a file, and in a real browser."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.visualisation.line_plot import Line, draw_lines
from hrdet_cli.engine.visualisation.palette import class_colour
from hrdet_cli.pages import embedding
from hrdet_cli.pages.blocks import (
    Block,
    Cell,
    Column,
    Details,
    Facts,
    Grid,
    Highlight,
    Highlights,
    Items,
    Listing,
    Page,
    Picture,
    Plot,
    Section,
    Table,
    Text,
)
from hrdet_cli.pages.rendering import render_page
from tests.browser import Browser, Tab
from tests.unit.pages.document import Document

NASTY = "<script>alert(\"1\")</script> & 'x' </style>"


def noise(*, width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def plot(text: str) -> Plot:
    steps = np.arange(1.0, 10.0)
    line = Line(name=text, x=steps, y=1 / steps, colour=class_colour(0))
    return Plot(draw_lines([line], x_label=text), text, text)


def every_block(text: str, picture: Path | Image.Image) -> list[Block]:
    """One of each kind, with a text wherever one may be."""
    table = Table(
        text,
        [Column(text, hint=text), Column(text, "number"), Column(text, "code")],
        [[text, Cell(text, order=1.0, bar=0.5, tone="bad", hint=text), text]],
        note=text,
        is_sortable=True,
    )
    return [
        Highlights([Highlight(text, text, text, "good")]),
        Facts([(text, text), (text, Cell(text))], text, text),
        Grid([plot(text), Picture(picture, text)]),
        Text(text, "note"),
        Items([text, text]),
        Details(text, [table, Listing(text, text)]),
        Picture(picture, text, is_sheet=True),
    ]


def render(blocks: Sequence[Block]) -> str:
    return render_page(Page("t", [Section("s", blocks)]))


def whole_page(text: str, picture: Path | Image.Image) -> str:
    blocks = every_block(text, picture)
    sections = [Section(text, blocks, text), Section(text, ()), Section("Another", ())]
    return render_page(Page(text, sections, text, blocks, text))


def test_the_page_needs_no_other_file() -> None:
    text = whole_page("any text", noise())
    document = Document(text)
    images = document.named("img")
    assert len(images) == 4
    for image in images:
        kind, _, encoded = str(image["src"]).partition(";base64,")
        assert kind == "data:image/jpeg"
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as embedded:
            assert embedded.size == (60, 40) == (int(str(image["width"])), int(str(image["height"])))
        text = text.replace(encoded, "")
    assert [link["href"] for link in document.named("link")] == ["data:,"]
    assert "src" not in document.named("script")[0]
    assert all(str(link["href"]).startswith("#") for link in document.named("a"))
    assert "http" not in text


def test_texts_stay_texts() -> None:
    plain = Document(whole_page("any text", noise()))
    document = Document(whole_page(NASTY, noise()))
    assert [tag for tag, _ in document.tags] == [tag for tag, _ in plain.tags]
    assert document.texts.count(NASTY) == plain.texts.count("any text")
    assert document.named("img")[0]["alt"] == NASTY


def test_a_page_without_a_sortable_table_has_no_script() -> None:
    table = Table("t", [Column("a")], [["x"]])
    assert Document(render([table])).named("script") == []


def test_characters_that_no_page_may_hold_are_marked() -> None:
    assert "a\ufffdb\ufffdc" in Document(render([Text("a\x00b\udcffc")])).texts


def test_sections_are_linked_each_by_a_name_of_its_own() -> None:
    document = Document(
        render_page(Page("t", [Section(title, ()) for title in ("AP & co", "AP co", "日本")]))
    )
    links = [str(link["href"]).removeprefix("#") for link in document.named("a")]
    assert links == [section["id"] for section in document.named("section")]
    assert len(set(links)) == 3


def test_a_row_has_as_many_values_as_there_are_columns() -> None:
    with pytest.raises(ValueError, match="a row of 2 values in 1 columns"):
        Table("t", [Column("a")], [["x", "y"]])


def test_pictures_that_would_make_the_page_too_large_are_only_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        noise().save(tmp_path / f"batch-{number}.png")
    pictures = [Picture(tmp_path / f"batch-{number}.png", "c") for number in (1, 2, 3)]
    images = Document(render(pictures[:2])).named("img")
    monkeypatch.setattr(embedding, "_MOST_BYTES", sum(len(str(image["src"])) for image in images))
    document = Document(render(pictures))
    assert len(images) == len(document.named("img")) == 2
    assert "Not in this page, which is large enough: see batch-3.png beside it." in document.texts


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    noise().save(tmp_path / "cut.png")
    content = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.png").write_text("no picture")
    names = ("cut.png", "text.png", "missing.png")
    document = Document(render([Picture(tmp_path / name, "c") for name in names]))
    assert document.named("img") == []
    for name, reason in zip(names, ("damaged", "damaged", "No such file or directory"), strict=True):
        assert f"{name} cannot be read ({reason})." in document.texts


def test_a_small_png_keeps_its_sharp_letters_and_a_large_one_becomes_a_jpeg(tmp_path: Path) -> None:
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    noise().save(small)
    noise(width=400, height=400).save(large)
    kinds = [
        str(image["src"]).partition(";")[0]
        for image in Document(render([Picture(small, "c"), Picture(large, "c")])).named("img")
    ]
    assert kinds == ["data:image/png", "data:image/jpeg"]


def test_a_long_name_is_cut_in_the_middle_and_whole_where_the_pointer_rests() -> None:
    name = "folder/" * 10 + "1.jpg"
    document = Document(render([Table("t", [Column("a")], [[name]])]))
    (cell,) = (found for found in document.named("th") if found["scope"] == "row")
    assert cell["title"] == name
    assert "folder/folder/folder/fo...er/folder/folder/1.jpg" in document.texts


def test_a_real_browser_has_nothing_to_say_against_any_block(
    tmp_path: Path, look_at_page: Callable[[Path], None]
) -> None:
    page = tmp_path / "page.html"
    page.write_text(whole_page("W" * 300, noise(width=1500)), encoding="utf-8")
    look_at_page(page)
    assert len(list(tmp_path.glob("page-*.png"))) == 4


def test_a_real_browser_sorts_tables(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "page.html"
    rows: list[list[str | Cell]] = [["b", "1,000"], ["a", "–"], ["c", Cell("few", order=7.0)], ["d", "20%"]]
    page.write_text(
        render([Table("t", [Column("n"), Column("v", "number")], rows, is_sortable=True)]), "utf-8"
    )

    def order_after_click(tab: Tab, column: int) -> str:
        tab.evaluate(f"document.querySelectorAll('thead button')[{column}].click()")
        names = "[...document.querySelectorAll('tbody th')].map((cell) => cell.textContent).join('')"
        return str(tab.evaluate(names))

    with browser.open(page, width=1280) as tab:
        assert order_after_click(tab, 1) == "bdca"
        assert order_after_click(tab, 1) == "cdba"
        assert order_after_click(tab, 0) == "abcd"
        assert tab.problems() == []


def test_what_a_browser_has_against_a_page_is_told(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><body><div style="width: 2000px">wide</div>'
        '<img src="data:image/png;base64,AAAA" alt="a cat">'
        '<script>console.error("oh"); fetch("http://example.invalid/x").catch(() => {}); nobody()</script>'
    )
    with browser.open(page, width=390) as tab:
        problems = " | ".join(tab.problems())
    for told in (
        "picture does not load: a cat",
        "on a screen of 390",
        "oh",
        "asks a network",
        "nobody is not",
    ):
        assert told in problems
