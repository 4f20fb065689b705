"""What one node can find out alone is said at once there, and told to those that wait for it."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed.hosts import Hosts
from tests.distributed.runs_on_hosts import await_condition, settings, slurm_step, start_hrdet
from tests.forked import ForkedHrdet

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

MakeHosts = Callable[[int], Hosts]


def test_data_that_one_node_lacks_end_all_nodes_with_that_error(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    pair = hosts(2)
    shutil.copytree(one_process_run.parent / "data", tmp_path / "host1" / "data")
    data = [
        word
        for part in ("train", "val")
        for word in (f"--{part}-data", f"data/{part}.json", "data/images.zip")
    ]
    command = ["train", *settings("data.demo=null"), *data, "--nodes", "2", "--master-addr", pair[0].address]
    waiting = start_hrdet(pair[0], *command, folder=tmp_path / "host1")
    waiting.await_text("waiting for nodes at 10.77.0.1:29500: 1 of 2 have come")
    lacking = start_hrdet(pair[1], *command, folder=tmp_path / "host2")
    assert (lacking.wait(), waiting.wait()) == (3, 3), waiting.printed()
    missing = tmp_path / "host2" / "data" / "train.json"
    error = f"{missing}: does not exist; data.train.annotations points there."
    assert f"error: {error}" in lacking.printed()
    assert f"error: on host2 (10.77.0.2): {error}" in waiting.printed()
    assert not (tmp_path / "host1" / "runs").exists()


def test_a_node_without_the_run_s_disk_is_told_what_it_needs_to_resume(tmp_path: Path) -> None:
    command = ["train", "--resume", "--run-dir", "run", "--nodes", "2", "--master-addr", "127.0.0.1"]
    _, stderr = (process := ForkedHrdet(*command, "--master-port", "29578", folder=tmp_path)).communicate()
    assert process.wait() == 5, stderr
    assert "give the run's --preset or --spec, data and --set beside --resume" in stderr


def test_a_shell_inside_a_step_of_slurm_says_at_once_who_is_awaited_and_the_way_out(tmp_path: Path) -> None:
    step = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_TASKS_PER_NODE": "4",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
    }
    command = ["train", *settings(), "--master-port", "29577", "--timeout-seconds", "600"]
    shell = ForkedHrdet(*command, folder=tmp_path, environment={**os.environ, **step})
    try:
        await_condition(
            lambda: shell.stderr.is_file() and "\n" in shell.stderr.read_text(), [], what="the first line"
        )
    finally:
        shell.kill()
    _, stderr = shell.communicate()
    assert stderr.startswith(
        "rank 0 of 4 processes that Slurm started; waiting for 3 others at localhost:29577. "
        "To run alone instead: env -u SLURM_STEP_NUM_TASKS hrdet train --preset demo "
    )


def test_a_bad_spec_of_one_process_of_a_launcher_ends_all_of_them(hosts: MakeHosts, tmp_path: Path) -> None:
    pair = hosts(2)
    commands = []
    for rank, more in enumerate(([], ["--set", "run.seed=-1"])):
        command = ["train", *settings(), "--run-dir", "run", *more]
        commands.append(start_hrdet(pair[rank], *command, folder=tmp_path, environment=slurm_step(rank)))
    begun = time.monotonic()
    assert [command.wait() for command in commands] == [2, 2], commands[0].printed()
    assert time.monotonic() - begun < 60
    assert "error: --set run.seed=-1: run.seed: must be" in commands[1].printed()
    assert "error: on rank 1 (host2): --set run.seed=-1: run.seed: must be" in commands[0].printed()
