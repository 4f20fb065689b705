"""Stacks are written on a signal and on demand, into a file that is there only if something was."""

import os
import signal
from pathlib import Path

from hrdet_cli.engine.distributed.stacks import STACKS


def where_it_waits() -> None:
    signal.raise_signal(signal.SIGQUIT)


def test_a_signal_writes_where_each_thread_is(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "rank-0.stacks"
    with STACKS.kept_in(file):
        where_it_waits()
        assert "most recent call first" in file.read_text()
        assert "in where_it_waits" in file.read_text()
    assert file.is_file()


def test_a_process_that_was_forked_writes_there_too(tmp_path: Path) -> None:
    file = tmp_path / "rank-0.stacks"
    with STACKS.kept_in(file):
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGQUIT)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert "most recent call first" in file.read_text()


def test_stacks_are_added_to_those_of_a_run_before(tmp_path: Path) -> None:
    file = tmp_path / "rank-0.stacks"
    file.write_text("of a run before\n")
    with STACKS.kept_in(file):
        assert STACKS.file == file
        STACKS.write()
    assert file.read_text().startswith("of a run before\n")
    assert "test_stacks_are_added" in file.read_text()


def test_a_run_that_nobody_asks_leaves_no_file(tmp_path: Path) -> None:
    with STACKS.kept_in(tmp_path / "rank-0.stacks"):
        pass
    assert not list(tmp_path.iterdir())
    assert STACKS.file is None


def test_a_file_that_cannot_be_opened_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    with STACKS.kept_in(tmp_path / "logs" / "rank-0.stacks"):
        STACKS.write()
        assert STACKS.file is None
