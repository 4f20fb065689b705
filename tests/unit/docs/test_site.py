"""The site has every page in its navigation, once, and needs no network."""

import tomllib
from collections.abc import Iterator
from typing import Any

from tests.documents import ROOT

_CONFIG: dict[str, Any] = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]


def pages_in(navigation: Any) -> Iterator[str]:
    """The pages of a navigation and its sections, in order."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for entry in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from pages_in(entry)


def test_every_page_is_in_the_navigation_once() -> None:
    docs = ROOT / "docs"
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    assert sorted(pages_in(_CONFIG["nav"])) == pages, "nav in zensical.toml has every page once"


def test_pages_can_be_opened_from_a_folder_without_a_network() -> None:
    assert _CONFIG["use_directory_urls"] is False
    assert _CONFIG["theme"]["font"] is False
    assert "site_url" not in _CONFIG
