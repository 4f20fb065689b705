"""One process at a time writes into a run folder; POSIX locks need two processes to see that."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hrdet_cli.errors import OutputError
from hrdet_cli.runs.run_lock import RunLock, holder_of

HOLD = """
import sys
from pathlib import Path
from hrdet_cli.runs.run_lock import RunLock
with RunLock(Path(sys.argv[1])) as lock:
    lock.take()
    print("taken", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of a folder until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "taken\n"
            yield process
        finally:
            process.kill()


def test_who_holds_the_lock_is_said(tmp_path: Path) -> None:
    assert holder_of(tmp_path) is None
    with holder(tmp_path) as process:
        held_by = holder_of(tmp_path)
        with pytest.raises(OutputError) as caught:
            RunLock(tmp_path).take()
    assert holder_of(tmp_path) is None, "its file is still there"
    told = str(caught.value)
    assert f"is in use by {held_by}; wait for it" in told
    assert told.startswith(f"{tmp_path}: is in use by process {process.pid} on {os.uname().nodename} since 2")
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00 \(hrdet .*\); wait for it", told)


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        with RunLock(tmp_path) as lock:
            lock.take()
            lock.take()  # once more is no harm
            assert lock.is_kept
    assert list(tmp_path.iterdir()) == [], "released, it leaves no file behind"


def test_a_lock_released_is_free_for_the_next(tmp_path: Path) -> None:
    with RunLock(tmp_path) as lock:
        lock.take()
    with holder(tmp_path):
        pass


def test_a_lock_that_was_never_taken_leaves_the_holders_file(tmp_path: Path) -> None:
    with holder(tmp_path):
        with RunLock(tmp_path):
            pass
        assert (tmp_path / "run.lock").is_file()


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("hrdet_cli.runs.run_lock.fcntl.lockf", refuse)
    with RunLock(tmp_path) as lock:
        lock.take()
        assert not lock.is_kept


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"run\.lock: cannot be written: "):
        RunLock(tmp_path / "file" / "run").take()
