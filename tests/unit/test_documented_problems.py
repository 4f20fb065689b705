"""docs/data.md has a row for every kind of problem, with the words of the code."""

from collections import Counter
from pathlib import Path

import pytest

from hrdet_cli.engine.data.box_forms import BOX_FORMS
from hrdet_cli.engine.data.checking import problems
from hrdet_cli.engine.data.checking.problems import ProblemKind

_DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"
_KINDS = [kind for kind in vars(problems).values() if isinstance(kind, ProblemKind)]


def _rows(header: str) -> list[list[str]]:
    """The cells of a table of the document, without its header."""
    lines = _DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index(header) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


def _severity(kind: ProblemKind) -> str:
    return f"{kind.severity}, with masks an error" if kind.refused_with_masks else kind.severity


def test_the_table_has_every_kind_of_problem_with_the_words_of_the_code() -> None:
    rows = _rows("| problem | check-data | training | --fix-out | what it means |")
    expected = [[kind.name, _severity(kind), kind.training, kind.fix] for kind in _KINDS]
    assert [row[:4] for row in rows] == expected
    assert all(len(row) == 5 and row[4] for row in rows)


def test_no_two_kinds_have_one_name() -> None:
    assert max(Counter(kind.name for kind in _KINDS).values()) == 1


@pytest.mark.parametrize("name", BOX_FORMS)
def test_every_form_of_boxes_is_documented(name: str) -> None:
    assert any(f"`{name}`" in row[0] for row in _rows("| `--boxes` | form |"))
