"""What users see and what is left when nodes do not come, contradict each other, die, hang or are stopped."""

import os
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.distributed.hosts import Host, Hosts
from tests.distributed.runs_on_hosts import (
    NUM_STEPS,
    Command,
    assert_same_training,
    await_condition,
    await_step,
    checkpoint_of,
    finish,
    launches_of,
    settings,
    start_hrdet,
    start_program,
    steps_of,
)

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

MakeHosts = Callable[[int], Hosts]


def train_command(hosts: Hosts, *more: str) -> list[str]:
    """The same on every host; the first one is the master."""
    options = ["--nodes", str(len(hosts)), "--master-addr", hosts[0].address, "--run-dir", "run"]
    return ["train", *settings(), *options, *more]


def start_on_all(hosts: Hosts, command: list[str], folder: Path) -> list[Command]:
    """Each host has a disk of its own: ``FOLDER/host1``, ..."""
    return [start_hrdet(host, *command, folder=folder / host.hostname) for host in hosts]


def worker_of(command: Command) -> int:
    """Process id of the only worker of a launcher."""
    (worker,) = [pid for pid in command.host.process_ids() if parent_of(pid) == command.process.pid]
    return worker


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def await_nobody(*hosts: Host) -> None:
    await_condition(lambda: not any(host.process_ids() for host in hosts), [], what="the last process")


def test_a_node_that_does_not_come_is_missed_by_all_who_came(hosts: MakeHosts, tmp_path: Path) -> None:
    trio = hosts(3)
    command = train_command(trio, "--timeout-seconds", "8")
    commands = [start_hrdet(host, *command, folder=tmp_path) for host in (trio[0], trio[1])]
    for came in commands:
        assert came.wait() == 7, came.printed()
        assert "2 of 3 nodes joined 10.77.0.1:29500 in 8 s: " in came.printed()
        assert "host1 (10.77.0.1)" in came.printed()
        assert "host2 (10.77.0.2)" in came.printed()
        assert f"On the other node run: {shlex.join(['hrdet', *command])}\n" in came.printed()
    assert not (tmp_path / "run").exists()


def test_ctrl_c_ends_a_node_that_waits_for_others(hosts: MakeHosts, tmp_path: Path) -> None:
    pair = hosts(2)
    alone = start_hrdet(pair[0], *train_command(pair), folder=tmp_path)
    alone.await_text("waiting for nodes at 10.77.0.1:29500: 1 of 2 have come")
    alone.process.send_signal(signal.SIGINT)
    assert alone.wait(seconds=10) == 130, alone.printed()
    assert "Traceback" not in alone.printed()
    await_nobody(pair[0])


def test_nodes_with_other_settings_or_other_data_refuse_to_train(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    pair = hosts(2)
    for host in pair:
        shutil.copytree(one_process_run.parent / "data", tmp_path / host.hostname / "data")
    with (tmp_path / "host2" / "data" / "train.json").open("a") as annotations:
        annotations.write("\n")
    commands = [
        start_hrdet(
            host,
            *train_command(pair, "--set", f"optimisation.base_learning_rate={rate}"),
            folder=tmp_path / host.hostname,
        )
        for host, rate in zip(pair, (0.04, 0.08), strict=True)
    ]
    for command in commands:
        assert command.wait() == 7, command.printed()
        assert (
            "optimisation.base_learning_rate: 0.04 on rank 0 (host1 (10.77.0.1)), "
            "but 0.08 on rank 1 (host2 (10.77.0.2))"
        ) in command.printed()
        assert "content of the training annotations (SHA-256): " in command.printed()
        assert "validation annotations" not in command.printed()
    assert not (tmp_path / "host1" / "run" / "metrics.jsonl").exists()


def test_nodes_that_start_unequal_numbers_of_processes_refuse_to_train(
    hosts: MakeHosts, tmp_path: Path
) -> None:
    trio = hosts(3)

    def start(host: Host, num_processes: int) -> Command:
        command = train_command(trio, "--processes-per-node", str(num_processes))
        return start_hrdet(host, *command, folder=tmp_path)

    alike = [start(trio[0], 1), start(trio[1], 1)]
    for command in alike:
        command.await_text(": 2 of 3 have come")
    for command in (*alike, start(trio[2], 2)):
        assert command.wait() == 7, command.printed()
        assert "the nodes contradict each other: --processes-per-node is " in command.printed()
        assert "2 on host3 (10.77.0.3)" in command.printed()


LISTEN = "import socket; s = socket.create_server(('', 29500)); print('listening', flush=True); s.accept()"


def test_a_master_address_that_is_nobodys_taken_or_silent_is_told_apart(
    hosts: MakeHosts, tmp_path: Path
) -> None:
    trio = hosts(3)
    owner = start_program(trio[1], "-c", LISTEN, folder=tmp_path)
    owner.await_text("listening")

    def start(host: Host, master: str) -> Command:
        options = ["--nodes", "2", "--master-addr", master, "--timeout-seconds", "4"]
        return start_hrdet(host, "train", *settings(), *options, folder=tmp_path)

    nobodys, taken = start(trio[0], "10.77.0.99"), start(trio[1], trio[1].address)
    silent = start(trio[2], trio[0].address)
    assert [command.wait() for command in (nobodys, taken, silent)] == [7, 7, 7]
    assert "10.77.0.99:29500 did not answer host1 in 4 s: " in nobodys.printed()
    assert "the machine is off" in nobodys.printed()
    assert "check --master-addr" in nobodys.printed()
    assert (
        f"port 29500 on 10.77.0.2 is in use by pid {owner.process.pid} ({Path(sys.executable)}"
    ) in taken.printed()
    assert "choose another with --master-port on every node" in taken.printed()
    assert (
        "10.77.0.1:29500 did not answer host3 in 4 s: 10.77.0.1 is there, but nothing listens on port 29500 "
        "(yet); run the same hrdet command with the same --master-port on the node that has 10.77.0.1"
    ) in silent.printed()


def test_a_node_that_is_killed_and_started_again_costs_only_the_steps_since_the_checkpoint(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    pair = hosts(2)
    command = train_command(pair, "--max-restarts", "2")
    master, _ = start_on_all(pair, command, tmp_path)
    run = tmp_path / "host1" / "run"
    await_step(run, 7, master)
    pair[1].kill_all()
    finish(master, start_hrdet(pair[1], *command, folder=tmp_path / "host2"))
    assert_same_training(run, one_process_run)
    assert [launch["first_step"] for launch in launches_of(run)] == [0, 6]
    assert "goes on from run/checkpoints/last.pt after step 6" in master.printed()


def test_a_killed_launcher_takes_its_workers_along_and_the_other_node_names_them(
    hosts: MakeHosts, tmp_path: Path
) -> None:
    pair = hosts(2)
    master, other = start_on_all(pair, train_command(pair), tmp_path)
    await_step(tmp_path / "host1" / "run", 2, master, other)
    other.process.kill()
    await_nobody(pair[1])
    assert master.wait() == 8, master.printed()
    assert "lost rank 1 on host2 (10.77.0.2): " in master.printed()
    await_nobody(pair[0])


def test_without_the_node_of_the_rendezvous_the_others_end_and_a_resume_goes_on(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    pair = hosts(2)
    _, other = start_on_all(pair, train_command(pair, "--max-restarts", "2"), tmp_path)
    run = tmp_path / "host1" / "run"
    await_step(run, 7, other)
    pair[0].kill_all()
    assert other.wait() == 8, other.printed()
    assert "the node that holds the rendezvous at 10.77.0.1:29500 is gone" in other.printed()
    assert "frame #" not in other.printed()
    assert "[c10d]" not in other.printed()
    assert "--resume" in other.printed()
    await_nobody(pair[1])
    finish(*start_on_all(pair, train_command(pair, "--resume"), tmp_path))
    assert_same_training(run, one_process_run)


def test_a_stop_on_any_node_stops_all_after_the_same_step_and_a_resume_goes_on_exactly(
    hosts: MakeHosts, one_process_run: Path, tmp_path: Path
) -> None:
    pair = hosts(2)
    run = tmp_path / "run"

    def stop(command: list[str], *, after: int, by: signal.Signals, on: Host) -> dict[str, int]:
        commands = {host.hostname: start_hrdet(host, *command, folder=tmp_path) for host in pair}
        await_step(run, after, *commands.values())
        commands[on.hostname].process.send_signal(by)
        codes = {name: command.wait() for name, command in commands.items()}
        await_nobody(*pair)
        assert after <= checkpoint_of(run)["step"] == steps_of(run)[-1] < NUM_STEPS
        assert f"stopped after step {steps_of(run)[-1]}" in commands["host1"].printed()
        return codes

    codes = stop(train_command(pair), after=2, by=signal.SIGINT, on=pair[1])
    assert codes == {"host1": 130, "host2": 130}
    resume = ["train", "--resume", "--run-dir", "run", "--nodes", "2", "--master-addr", pair[0].address]
    codes = stop(resume, after=7, by=signal.SIGHUP, on=pair[0])
    assert codes == {"host1": 129, "host2": 130}
    alone = ["train", "--resume", "--run-dir", "run", "--set", "data.batch_size_per_process=2"]
    finish(start_hrdet(pair[0], *alone, folder=tmp_path))
    assert_same_training(run, one_process_run)


def test_a_killed_worker_is_told_with_its_last_lines(hosts: MakeHosts, tmp_path: Path) -> None:
    pair = hosts(2)
    master, other = start_on_all(pair, train_command(pair), tmp_path)
    await_step(tmp_path / "host1" / "run", 3, master, other)
    worker = worker_of(other)
    os.kill(worker, signal.SIGKILL)
    assert [master.wait(), other.wait()] == [8, 8]
    log = tmp_path / "host2" / "run" / "logs" / "rank-1.log"
    assert (
        f"rank 1 on host2 (process id {worker}) was killed by SIGKILL; its last lines, from {log}:\n"
    ) in other.printed()
    assert "step 2/12" in other.printed()
    assert "lost rank 1 on host2 (10.77.0.2): " in master.printed()
    await_nobody(*pair)


def test_a_frozen_worker_is_named_with_what_the_others_wait_for(hosts: MakeHosts, tmp_path: Path) -> None:
    pair = hosts(2)
    master, other = start_on_all(pair, train_command(pair, "--timeout-seconds", "10"), tmp_path)
    await_step(tmp_path / "host1" / "run", 2, master, other)
    os.kill(worker_of(other), signal.SIGSTOP)
    assert [master.wait(seconds=60), other.wait(seconds=60)] == [8, 8]
    assert "Missing: rank 1 on host2 (10.77.0.2), last at collective " in master.printed()
    await_nobody(*pair)


def test_a_cut_cable_ends_both_sides_with_what_each_can_know(hosts: MakeHosts, tmp_path: Path) -> None:
    pair = hosts(2)
    master, other = start_on_all(pair, train_command(pair, "--timeout-seconds", "10"), tmp_path)
    await_step(tmp_path / "host1" / "run", 2, master, other)
    pair.cut(pair[0])
    assert [master.wait(seconds=40), other.wait(seconds=40)] == [8, 8]
    assert "Missing: rank 1 on host2 (10.77.0.2), last at collective " in master.printed()
    assert "did not answer for " in other.printed()
    await_nobody(*pair)
