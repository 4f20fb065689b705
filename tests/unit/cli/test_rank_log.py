import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrdet_cli.cli.rank_log import log_of_one, rank_log
from hrdet_cli.errors import DataError, OutputError

OTHER_RANK = """
import os, sys
from pathlib import Path
from hrdet_cli.cli.rank_log import log_of_one, rank_log
with rank_log(Path(sys.argv[1]), is_first=False):
    print("from Python", flush=True)
    os.write(2, b"from native code\\n")
"""


def test_whatever_another_rank_prints_goes_into_its_log_alone(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "rank-1.log"
    done = subprocess.run(
        [sys.executable, "-c", OTHER_RANK, str(log)], capture_output=True, text=True, check=True
    )
    assert done.stdout == done.stderr == ""
    started, *lines = log.read_text().splitlines()
    assert started.startswith("--- ")
    assert lines == ["from Python", "from native code"]


def test_the_first_rank_keeps_the_terminal_and_its_error_is_in_the_log_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rank-0.log"

    def fail() -> None:
        with rank_log(file, is_first=True) as log:
            assert log is not None
            log.write("epoch 1\n")
            os.write(1, b"on the terminal\n")
            raise DataError("x.jpg: is damaged")

    with pytest.raises(DataError):
        fail()
    assert capfd.readouterr().out == "on the terminal\n"
    assert file.read_text().splitlines()[1:] == ["epoch 1", "error: x.jpg: is damaged"]


def test_a_restart_adds_to_the_log(tmp_path: Path) -> None:
    file = tmp_path / "rank-0.log"
    for _ in range(2):
        with rank_log(file, is_first=True):
            pass
    assert len(file.read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file is in the way")
    log = rank_log(tmp_path / "logs" / "rank-0.log", is_first=True)
    with pytest.raises(OutputError, match=r"rank-0\.log: the log cannot be written"):
        log.__enter__()


def test_the_log_of_one_process_appears_with_the_run_folder_and_has_all_lines(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with log_of_one(run / "logs" / "rank-0.log") as log:
        assert log is not None
        log.write("before\n")
        assert not run.exists()
        run.mkdir()
        log.write("after\n")
        lines = (run / "logs" / "rank-0.log").read_text().splitlines()
    assert lines[0].startswith("--- ")
    assert lines[1:] == ["before", "after"]


def test_a_run_that_cannot_start_leaves_no_log(tmp_path: Path) -> None:
    def fail() -> None:
        with log_of_one(tmp_path / "run" / "logs" / "rank-0.log"):
            raise DataError("x.jpg: is damaged")

    with pytest.raises(DataError):
        fail()
    assert not any(tmp_path.iterdir())


def test_the_log_of_one_process_ends_with_its_error(tmp_path: Path) -> None:
    def fail() -> None:
        with log_of_one(tmp_path / "logs" / "rank-0.log"):
            raise DataError("x.jpg: is damaged")

    with pytest.raises(DataError):
        fail()
    assert (tmp_path / "logs" / "rank-0.log").read_text().splitlines()[1:] == ["error: x.jpg: is damaged"]
