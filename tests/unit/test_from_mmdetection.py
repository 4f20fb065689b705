"""docs/from-mmdetection.md has every key that is translated."""

from pathlib import Path

from hrdet_cli.specs.known_keys import all_keys, all_sections
from hrdet_cli.specs.mmdetection.rules import key_pairs
from hrdet_cli.specs.mmdetection.translation import ALL_GROUPS, GROUPS_BY_DETECTOR

_DOCUMENT = Path(__file__).parents[2] / "docs" / "from-mmdetection.md"
_HEADER = "| theirs | ours |"


def table() -> list[str]:
    """The rows as the rules have them: a test of what stands in the page, and what to put there."""
    ours_by_theirs: dict[str, list[str]] = {}
    for theirs, ours in key_pairs(ALL_GROUPS):
        keys = ours_by_theirs.setdefault(theirs, [])
        if ours not in keys:
            keys.append(ours)
    return [
        f"| `{theirs}` | {', '.join(f'`{key}`' for key in keys)} |"
        for theirs, keys in sorted(ours_by_theirs.items())
    ]


def test_the_page_has_a_row_for_every_key_that_a_rule_takes() -> None:
    lines = _DOCUMENT.read_text(encoding="utf-8").splitlines()
    start = lines.index(_HEADER) + 2
    assert lines[start : start + len(table())] == table()
    assert len(lines) == start + len(table())


def test_the_page_names_every_kind_of_detector() -> None:
    text = _DOCUMENT.read_text(encoding="utf-8")
    assert [kind for kind in GROUPS_BY_DETECTOR if f"`{kind}`" not in text] == []


def test_every_key_of_ours_is_one() -> None:
    known = {*all_keys(), *all_sections()}
    assert {ours for _, ours in key_pairs(ALL_GROUPS)} <= known
