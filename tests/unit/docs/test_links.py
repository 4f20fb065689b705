"""Links between README, pages and files of the checkout lead somewhere, on GitHub and on the site."""

import re
from pathlib import Path

import pytest

from tests.documents import ROOT, Document, documents


def anchors_on_site(document: Document) -> set[str]:
    """Those of Python-Markdown, which joins hyphens; two headings of one name have none that both know."""
    return {re.sub(r"[-\s]+", "-", anchor) for anchor in document.anchors}


@pytest.mark.parametrize("document", documents(), ids=lambda document: str(document.path))
def test_links_of_a_page_lead_to_files_and_headings(document: Document) -> None:
    by_path = {one.path: one for one in documents()}
    dead = []
    for link in document.links:
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = document.path if not name else Path(*(document.path.parent / name).parts)
        resolved = (ROOT / target).resolve()
        if not resolved.exists():
            dead.append(link)
        elif anchor:
            page = by_path.get(resolved.relative_to(ROOT.resolve()))
            if page is None or anchor not in page.anchors & anchors_on_site(page):
                dead.append(link)
    assert dead == []
