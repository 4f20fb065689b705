import base64
import io
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.runs.inspect_batch import page as page_module
from hrdet_cli.runs.inspect_batch.page import Figure, make_page
from hrdet_cli.runs.inspect_batch.tables import TextTable

NASTY = "<script>alert(\"1\")</script> & 'x'"


class Document(HTMLParser):
    """Tags, their attributes and the text of a page; fails where a tag is left open."""

    VOID = ("meta", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def saved_noise(path: Path, *, width: int = 60, height: int = 40) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_the_page_needs_no_other_file_and_no_script(tmp_path: Path) -> None:
    table = TextTable("Canvases", ("canvas", "share"), (("96x64", "25.0%"), ("64x96", "75.0%")), "a note")
    figure = Figure(saved_noise(tmp_path / "batch-1.png"), "batch-1", table)
    text = make_page(title="Padded batches", facts=[("command", "hrdet x")], tables=[table], figures=[figure])
    document = Document(text)
    (image,) = document.named("img")
    kind, _, encoded = str(image["src"]).partition(";base64,")
    assert kind == "data:image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as embedded:
        assert embedded.size == (60, 40) == (int(str(image["width"])), int(str(image["height"])))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in document.tags}
    assert not any("href" in attributes for _, attributes in document.tags)
    outside_pictures = text.replace(encoded, "")
    assert "url(" not in outside_pictures
    assert "http" not in outside_pictures
    for expected in ("Padded batches", "hrdet x", "Canvases", "64x96", "75.0%", "a note"):
        assert expected in document.texts


def test_texts_from_data_stay_texts(tmp_path: Path) -> None:
    table = TextTable(NASTY, (NASTY,), ((NASTY, NASTY),), NASTY)
    figure = Figure(saved_noise(tmp_path / "a.png"), NASTY, table)
    document = Document(make_page(title=NASTY, facts=[(NASTY, NASTY)], tables=[table], figures=[figure]))
    assert document.named("script") == []
    assert document.named("img")[0]["alt"] == NASTY
    # Title twice; a fact's name and value; title, heading, two cells and note of the table; caption; the
    # table again.
    assert document.texts.count(NASTY) == 2 + 2 + 5 + 1 + 3


def test_pictures_that_would_make_the_page_too_large_are_only_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = [Figure(saved_noise(tmp_path / f"batch-{n}.png"), f"batch {n}") for n in (1, 2, 3)]
    whole = make_page(title="", facts=[], tables=[], figures=figures[:2])
    assert len(Document(whole).named("img")) == 2
    most_bytes = sum(len(str(image["src"])) for image in Document(whole).named("img"))
    monkeypatch.setattr(page_module, "_MOST_BYTES", most_bytes)
    document = Document(make_page(title="", facts=[], tables=[], figures=figures))
    assert len(document.named("img")) == 2
    assert "Not in this page, which is large enough: see batch-3.png beside it." in document.texts


def test_a_long_name_is_cut_in_the_middle_and_whole_where_the_pointer_rests() -> None:
    name = "folder/" * 10 + "1.jpg"
    page = make_page(title="t", facts=[], tables=[TextTable("t", ("a", "b"), ((name, "1"),))], figures=[])
    assert f'<span title="{name}">folder/folder/folde...older/folder/1.jpg</span>' in page


def test_a_sheet_keeps_its_size_on_a_small_screen_and_scrolls(tmp_path: Path) -> None:
    page = make_page(title="t", facts=[], tables=[], figures=[Figure(saved_noise(tmp_path / "a.png"), "c")])
    assert '<div class="scroll"><img ' in page
    assert "@media (max-width: 60rem)" in page
