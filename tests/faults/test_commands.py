"""Commands in processes of their own, and what is looked for after them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.faults import commands
from tests.faults.commands import Command, Finished, faults_of, leftovers
from tests.faults.trials import CRASH, HANG, LEFTOVERS, ORPHANS, TRACEBACK, UNCLEAR


def test_a_command_that_ends_well_has_no_faults(tmp_path: Path) -> None:
    command = Command(["--version"], tmp_path)
    done = command.finish(60)
    assert (done.exit_code, done.stdout.split()[0]) == (0, "hrdet")
    assert faults_of(done) | command.faults() | leftovers(tmp_path) == {}


def test_what_outlives_a_command_is_found_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_SECONDS_TO_END", 0)
    command = Command(["--version"], tmp_path)
    command.finish(60)
    environment = {**os.environ, "HRDET_FAULTS_TRIAL": str(tmp_path)}
    with subprocess.Popen(["sleep", "60"], env=environment) as orphan:
        (tmp_path / "tmp" / "hrdet-launch").mkdir()
        (tmp_path / "last.pt.partial").touch()
        assert command.faults() == {ORPHANS: "1 processes", LEFTOVERS: "in TMPDIR: hrdet-launch"}
        assert orphan.wait(5) == -9
    assert leftovers(tmp_path) == {LEFTOVERS: "last.pt.partial"}


def test_a_command_past_its_time_is_a_hang_and_is_killed(tmp_path: Path) -> None:
    done = Command(["train", "--preset", "demo", "--dry-run"], tmp_path).finish(0.01)
    assert list(faults_of(done)) == [HANG]


@pytest.mark.parametrize(
    ("done", "fault"),
    [
        (Finished(3, "", "error: a.jpg: mend it"), None),
        (Finished(1, "", "Traceback (most recent call last):\n  x\nKeyError: 1"), TRACEBACK),
        (Finished(-11, "", ""), CRASH),
        (Finished(4, "", ""), UNCLEAR),
        (Finished(143, "", ""), None),
    ],
)
def test_ends_are_told_apart(done: Finished, fault: str | None) -> None:
    assert list(faults_of(done)) == ([] if fault is None else [fault])
