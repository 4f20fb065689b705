"""``--quiet``: results and errors, and nothing else."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console

from hrdet_cli.activity import doing, remark
from hrdet_cli.cli.app import app
from hrdet_cli.cli.display import work
from hrdet_cli.cli.display.console import print_notices, quieten
from hrdet_cli.cli.display.training import TrainingDisplay
from hrdet_cli.cli.display.work import shown_work
from hrdet_cli.cli.failures import print_error
from hrdet_cli.errors import DataError
from hrdet_cli.runs.events import Notice, RunFinished
from hrdet_cli.specs.run import RunSpec

WORKING = {
    *("train", "eval", "predict", "export", "inspect-batch", "benchmark-pad", "benchmark-syncbn"),
    *("check-data", "compare", "convert", "weights inspect", "weights convert"),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    quieten(True)
    yield
    quieten(False)


def test_notes_and_progress_are_silent_and_errors_are_not(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "_LINE_SECONDS", 0)
    with shown_work(), doing("reading"):
        print_notices(["this is noted"])
        remark("no answer")
    print_error(DataError("no data"))
    assert capsys.readouterr() == ("", "error: no data\n")


def test_a_quiet_run_tells_its_end_alone() -> None:
    screen = io.StringIO()
    with TrainingDisplay(Console(file=screen, width=200), RunSpec(), is_quiet=True) as display:
        display.show(Notice("this is noted"))
        display.show(RunFinished(Path("runs/a"), "box", {"raw": 0.25}, 90))
    assert screen.getvalue() == "finished in 2 min, best box AP 0.250; everything is in runs/a\n"


def test_every_command_that_shows_progress_can_be_quiet() -> None:
    found = set[str]()
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner, leaf in getattr(command, "commands", {"": command}).items():
            if any("--quiet" in parameter.opts for parameter in leaf.params):
                found.add(f"{name} {inner}".rstrip())
    assert found >= WORKING
