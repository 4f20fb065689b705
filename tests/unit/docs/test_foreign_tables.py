"""The tables of detectron2's and ultralytics' names say what the command line answers to these names."""

import re

import pytest

from hrdet_cli.specs.foreign_names import synonym_of
from tests.documents import ROOT

_MEANT_OTHERWISE = {
    "scale": "ultralytics' is a range of factors, others' a list of sizes",
    "MODEL.RPN.NMS_THRESH": "without its section it is that of the detections",
    "MODEL.PROPOSAL_GENERATOR.MIN_SIZE": "without its section it is a size of pictures",
}
_CODE = re.compile(r"`([^`]+)`")


def rows(page: str) -> list[tuple[list[str], str]]:
    """Their names and what is said of them, of each row of the table."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    table = text.partition("| theirs | ours |\n| --- | --- |\n")[2].partition("\n\n")[0]
    cells = [line.strip("| ").split(" | ", 1) for line in table.splitlines()]
    return [(_CODE.findall(theirs), ours) for theirs, ours in cells]


@pytest.mark.parametrize("page", ["from-detectron2", "from-ultralytics"])
def test_a_name_is_our_key_as_the_command_line_has_it(page: str) -> None:
    known = [(name, ours, synonym_of(name)) for names, ours in rows(page) for name in names]
    otherwise = [
        name
        for name, ours, synonym in known
        if synonym is not None and f"`{synonym.key}" not in ours and name not in _MEANT_OTHERWISE
    ]
    assert otherwise == []
    assert sum(synonym is not None for _, _, synonym in known) > 10
