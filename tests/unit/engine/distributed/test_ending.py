import signal
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing import ProcessFailure

from hrdet_cli.engine.distributed.ending import ending_of
from hrdet_cli.engine.distributed.failure import Failure
from hrdet_cli.engine.distributed.worker import LaunchFolder, WorkerPlace

DAMAGED = Failure(rank=5, host="b", exit_code=3, message="x.jpg: is damaged", is_final=True)
LOST = Failure(rank=4, host="a", exit_code=8, message="lost rank 5 on b", is_final=False)


@pytest.fixture
def folder(tmp_path: Path) -> LaunchFolder:
    """Of a node with ranks 4 and 5, of which the second has a log."""
    log = tmp_path / "rank-5.log"
    log.write_text("".join(f"line {number}\n" for number in range(30)))
    folder = LaunchFolder(tmp_path)
    folder.write_place(1, WorkerPlace(5, 77, str(log)))
    return folder


def died(local_rank: int, exit_code: int) -> ProcessFailure:
    return ProcessFailure(local_rank=local_rank, pid=77, exitcode=exit_code, error_file="")


def test_an_error_of_the_run_comes_before_everything_else(folder: LaunchFolder) -> None:
    folder.write_outcome(0, LOST)
    folder.write_outcome(1, DAMAGED)
    error = ending_of([died(0, 8)], folder, host="a")
    assert (error.exit_code, str(error)) == (3, "rank 5 on b: x.jpg: is damaged")


def test_a_worker_that_was_killed_is_named_with_its_last_lines(folder: LaunchFolder) -> None:
    folder.write_outcome(0, LOST)
    error = ending_of([died(0, 8), died(1, -signal.SIGKILL)], folder, host="a")
    first, *lines = str(error).splitlines()
    assert first == (
        f"rank 5 on a (process id 77) was killed by SIGKILL; its last lines, from {folder.path}/rank-5.log:"
    )
    assert lines == [f"  line {number}" for number in range(18, 30)]
    assert error.exit_code == 8


def test_a_worker_that_crashed_before_joining_is_a_process_of_its_node(folder: LaunchFolder) -> None:
    error = ending_of([died(0, 1)], folder, host="a")
    assert str(error).startswith("process 0 on a (process id 77) ended with exit code 1 before it joined")


def test_workers_that_the_launcher_ended_are_not_to_blame(folder: LaunchFolder) -> None:
    folder.write_outcome(0, LOST)
    error = ending_of([died(0, 8), died(1, -signal.SIGTERM)], folder, host="a")
    assert str(error) == "rank 4 on a: lost rank 5 on b"
