"""Training and evaluating over machines and launchers: the same results as in one process."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed.hosts import Hosts
from tests.distributed.runs_on_hosts import (
    assert_same_training,
    await_step,
    checkpoint_of,
    finish,
    launches_of,
    settings,
    slurm_step,
    start_hrdet,
    start_program,
    steps_of,
)
from tests.forked import ForkedHrdet

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

MakeHosts = Callable[[int], Hosts]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_two_hosts_with_a_shared_folder_train_to_the_weights_of_one_process(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    first, second = hosts(2)
    command = ["train", *settings(), "--nodes", "2", "--master-addr", second.domain_name, "--run-dir", "run"]
    early = start_hrdet(first, *command, folder=tmp_path)
    early.await_text("nothing listens on port 29500 (yet)")
    master = start_hrdet(second, *command, folder=tmp_path)
    finish(early, master)
    assert first.process_ids() == second.process_ids() == []
    assert_same_training(tmp_path / "run", one_process_run)
    (launch,) = launches_of(tmp_path / "run")
    assert launch["hosts_by_rank"] == ["host2 (10.77.0.2)", "host1 (10.77.0.1)"]
    assert "rank 1 of 2, on host1 (10.77.0.1), logs to run/logs/rank-1.log" in early.printed()
    assert "finished in" in master.printed()
    assert "finished in" not in early.printed()
    said = early.printed().splitlines()  # and not a word of what the libraries beneath say
    assert [line for line in said if not line.startswith(("waiting for ", "rank 1 of 2, "))] == []
    for rank in range(2):
        assert "step 12/12" in (tmp_path / "run" / "logs" / f"rank-{rank}.log").read_text()


def test_three_hosts_with_disks_of_their_own_wait_for_the_last_one(hosts: MakeHosts, tmp_path: Path) -> None:
    trio = hosts(3)
    canvases = "padding={policy: canvases, num_canvases: 3}"  # scale and canvas are those of a whole step
    group = ["--nodes", "3", "--master-addr", trio[0].address6]
    command = ["train", *settings(canvases), *group, "--run-dir", "run"]
    commands = [start_hrdet(host, *command, folder=tmp_path / host.hostname) for host in (trio[2], trio[0])]
    commands[1].await_text("waiting for nodes at [fd77::1]:29500: 2 of 3 have come")
    late = time.monotonic() + 20
    alone = ForkedHrdet("train", *settings(canvases, batch_size=3), "--run-dir", "alone", folder=tmp_path)
    assert alone.wait() == 0, alone.communicate()
    time.sleep(max(0.0, late - time.monotonic()))
    commands.append(start_hrdet(trio[1], *command, folder=tmp_path / "host2"))
    finish(*commands)

    run = tmp_path / "host1" / "run"
    assert_same_training(run, tmp_path / "alone")
    (launch,) = launches_of(run)
    assert launch["hosts_by_rank"][0] == "host1 (fd77::1)"
    assert sorted(launch["hosts_by_rank"]) == ["host1 (fd77::1)", "host2 (fd77::2)", "host3 (fd77::3)"]
    assert files_of(run / "checkpoints") == {"last.pt", "best.pt", "epoch-001.pt", "epoch-002.pt"}
    for rank, name in enumerate(launch["hosts_by_rank"][1:], start=1):
        assert files_of(tmp_path / name.split()[0] / "run") == {f"logs/rank-{rank}.log"}


def test_processes_that_slurm_started_on_two_hosts_train_to_the_weights_of_one(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    commands = []
    for rank, host in enumerate(hosts(2)):
        folder = tmp_path / host.hostname
        command = ["train", *settings(), "--run-dir", "run"]
        commands.append(start_hrdet(host, *command, folder=folder, environment=slurm_step(rank)))
    finish(*commands)
    assert_same_training(tmp_path / "host1" / "run", one_process_run)
    assert launches_of(tmp_path / "host1" / "run")[0]["hosts_by_rank"] == ["host1", "host2"]
    assert files_of(tmp_path / "host2" / "run") == {"logs/rank-1.log"}


def test_a_run_of_one_process_goes_on_in_two_that_torchrun_started(hosts: MakeHosts, tmp_path: Path) -> None:
    (host,) = hosts(1)
    run = tmp_path / "run"
    command = ["train", *settings(), "--run-dir", "run"]
    alone = start_hrdet(host, *command, folder=tmp_path, with_tiny_network=False)
    await_step(run, 4, alone)
    alone.process.send_signal(signal.SIGINT)
    assert alone.wait() == 130
    stopped_at = steps_of(run)[-1]

    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hrdet_cli"]
    finish(start_program(host, *torchrun, "train", "--resume", "--run-dir", "run", folder=tmp_path))
    (log,) = run.glob("logs/rank-0.log")
    assert f"goes on from run/checkpoints/last.pt after step {stopped_at}" in log.read_text()
    # 11 pictures are 11 steps of one process; in pairs of one orientation, 3 + 3 steps of two.
    done = stopped_at * 6 // 11
    assert (
        "2 pictures a step now (2 processes), 1 before; so the learning rate is 0.005 = 0.01 x 2 / 4 (linear "
        f"rule), and an epoch has 6 steps, not 11; epoch 1 goes on after its step {done}, not {stopped_at}: "
        "some of its pictures come twice, some not at all"
    ) in log.read_text()
    assert steps_of(run) == list(range(1, stopped_at + (6 - done) + 6 + 1))
    assert [launch["plan"]["num_processes"] for launch in launches_of(run)] == [1, 2]
    assert checkpoint_of(run)["num_finished_epochs"] == 2


def test_two_hosts_score_to_the_bytes_of_one_process(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    first, second = hosts(2)
    shutil.copytree(one_process_run, tmp_path / "host1" / "run")
    command = ["eval", "run", "--nodes", "2", "--master-addr", first.address, "--set", "run.device=cpu"]
    finish(*[start_hrdet(host, *command, folder=tmp_path / host.hostname) for host in (first, second)])
    scored, expected = tmp_path / "host1" / "run" / "eval-best", one_process_run / "evaluation"
    assert (scored / "detections.json").read_bytes() == (expected / "detections.json").read_bytes()
    metrics, expected_metrics = (
        json.loads((folder / "metrics.json").read_text()) for folder in (scored, expected)
    )
    assert metrics.pop("made_from")["weights"] != expected_metrics.pop("made_from")["weights"]
    assert metrics == expected_metrics
    assert (tmp_path / "host2" / "logs" / "rank-1.log").is_file()
