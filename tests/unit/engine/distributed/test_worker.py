import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hrdet_cli.engine.distributed.failure import Failure
from hrdet_cli.engine.distributed.worker import LaunchFolder, Orders, WorkerPlace, launch_folder
from tests.process_ids import is_running

ORDERS = Orders(
    launch_id="id",
    host="a (10.0.0.1)",
    holds_rendezvous=True,
    node_rank=None,
    timeout_seconds=5.0,
    max_restarts=0,
    launcher_pid=7,
)


def test_a_process_that_hrdet_did_not_start_has_no_launch_folder() -> None:
    assert launch_folder({}) is None


def test_workers_read_what_the_launcher_wrote(tmp_path: Path) -> None:
    LaunchFolder(tmp_path).write_orders(ORDERS)
    folder = launch_folder({"HRDET_LAUNCH_FOLDER": str(tmp_path)})
    assert folder is not None
    assert folder.orders() == ORDERS
    assert folder.stop_signal() is None
    folder.ask_to_stop("SIGTERM")
    assert folder.stop_signal() == "SIGTERM"


def test_a_worker_that_starts_again_forgets_how_its_predecessor_ended(tmp_path: Path) -> None:
    folder = LaunchFolder(tmp_path)
    failure = Failure(1, "b", 8, "lost", is_final=False)
    folder.write_outcome(0, failure)
    assert folder.outcomes() == [failure]
    folder.write_place(0, WorkerPlace(1, os.getpid(), None))
    assert folder.place(0) == WorkerPlace(1, os.getpid(), None)
    assert folder.place(1) is None
    folder.forget(0)
    assert folder.outcomes() == []
    assert folder.place(0) is None


def test_only_workers_that_live_and_have_joined_can_heed_a_stop(tmp_path: Path) -> None:
    folder = LaunchFolder(tmp_path)
    assert not folder.has_workers()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder.write_place(0, WorkerPlace(0, gone.pid, None))
    assert not folder.has_workers()
    folder.write_place(1, WorkerPlace(1, os.getpid(), None))
    assert folder.has_workers()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_worker_dies_with_its_launcher(tmp_path: Path) -> None:
    """The launcher below starts a worker, and is killed by it."""
    note = tmp_path / "worker.pid"
    worker = (
        "import os, signal, time\n"
        "from pathlib import Path\n"
        "from hrdet_cli.engine.distributed.worker import die_with\n"
        "parent = os.getppid()\n"
        "die_with(parent)\n"
        f"Path({str(note)!r}).write_text(str(os.getpid()))\n"
        "os.kill(parent, signal.SIGKILL)\n"
        "time.sleep(60)\n"
    )
    launcher = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    subprocess.run([sys.executable, "-c", launcher], check=False, timeout=60)
    process_id = int(note.read_text())
    deadline = time.monotonic() + 10
    while is_running(process_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)
