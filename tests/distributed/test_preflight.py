"""Two processes of which one has too little memory end together, with the batch that it has enough for."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed.runs_on_hosts import settings

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

PROGRAM = """
import os, sys
import torch
from hrdet_cli.cli.app import main
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs import preflight

forward = Detector.forward

def limited(model, images, targets):
    if len(images.sizes) > ROOM[int(os.environ["RANK"])]:
        raise torch.OutOfMemoryError("CUDA out of memory")
    return forward(model, images, targets)

Detector.forward = limited
preflight._require_gpu = lambda device: None
preflight._occupy = lambda device, share: torch.zeros(1)
main()
"""

Run = Callable[..., list[subprocess.CompletedProcess[str]]]


@pytest.fixture
def run_pair(tmp_path: Path) -> Run:
    """Runs ``hrdet train`` in two processes with memory for so many pictures each."""

    def run(*more: str, room: tuple[int, int]) -> list[subprocess.CompletedProcess[str]]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (tmp_path / "program.py").write_text(PROGRAM.replace("ROOM", repr(room)))
        processes = []
        for rank in range(2):
            variables = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "program.py", "train", *settings(*more), "--run-dir", "run"],
                    cwd=tmp_path,
                    env=os.environ | {key: str(value) for key, value in (variables | address).items()},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        printed = [process.communicate(timeout=120) for process in processes]
        return [
            subprocess.CompletedProcess(process.args, process.returncode, *texts)
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
