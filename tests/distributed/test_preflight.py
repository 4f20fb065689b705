"""Two processes of which one has too little memory end together, with the batch that it has enough for."""

import json
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.distributed.memory_limit import limit_room
from tests.distributed.runs_on_hosts import settings
from tests.forked import ForkedHrdet
from tests.free_ports import free_port

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

Run = Callable[..., list[subprocess.CompletedProcess[str]]]


@pytest.fixture
def run_pair(tmp_path: Path) -> Run:
    """Runs ``hrdet train`` in two processes with memory for so many pictures each."""

    def run(*more: str, room: tuple[int, int]) -> list[subprocess.CompletedProcess[str]]:
        port = free_port()
        command = ["train", *settings(*more), "--run-dir", "run"]
        processes = []
        for rank in range(2):
            variables = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
            address = {"LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            processes.append(
                ForkedHrdet(
                    *command,
                    folder=tmp_path,
                    environment=os.environ | variables | address,
                    prepare=partial(limit_room, room[rank]),
                )
            )
        printed = [process.communicate(timeout=120) for process in processes]
        return [
            subprocess.CompletedProcess(command, process.wait(), *texts)
            for process, texts in zip(processes, printed, strict=True)
        ]

    return run


def test_one_process_without_room_ends_both_with_its_own_words(run_pair: Run, tmp_path: Path) -> None:
    both = run_pair("data.batch_size_per_process=4", room=(4, 3))
    assert [done.returncode for done in both] == [9, 9], both[0].stderr + both[1].stderr
    log = (tmp_path / "run" / "logs" / "rank-1.log").read_text()
    for printed in (both[0].stderr, log):
        assert "4 pictures on a canvas of " in printed
        assert "3 would fit: --set data.batch_size_per_process=3; to keep 4, try" in printed
        assert "Traceback" not in printed
    assert "error: on rank 1 (" in both[0].stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_auto_takes_what_fits_on_the_smallest_of_all_processes(run_pair: Run, tmp_path: Path) -> None:
    both = run_pair(
        "data.batch_size_per_process=auto",
        "optimisation.num_epochs=1",
        "optimisation.schedule.drop_epochs=[]",
        "evaluation.every_num_epochs=0",
        room=(5, 3),
    )
    assert [done.returncode for done in both] == [0, 0], both[0].stderr + both[1].stderr
    (launch,) = json.loads((tmp_path / "run" / "run.json").read_text())["launches"]
    assert launch["plan"]["batch_size"] == 6
    assert launch["largest_step"]["num_pictures"] == 3
