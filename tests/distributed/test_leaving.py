"""Processes that end while the store of their group is silent keep their exit code."""

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from torch.distributed import TCPStore

from tests.distributed.runs_on_hosts import settings
from tests.forked import preloaded_context
from tests.free_ports import free_port

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).parents[2]

# A thread that gets its answer while the interpreter is taken down would abort the process.
LEAVE = """
import ctypes, faulthandler, sys, time
from datetime import timedelta
from torch.distributed import TCPStore
from hrdet_cli.cli.leaving import end_process
from hrdet_cli.engine.distributed.failure import FailureBoard
from hrdet_cli.engine.distributed.hang_evidence import HangEvidence
from hrdet_cli.engine.distributed.node_life import NodeLife
from hrdet_cli.engine.distributed.watchdog import Watchdog

faulthandler.enable()
store = TCPStore("127.0.0.1", int(sys.argv[1]), is_master=False, timeout=timedelta(seconds=30))

def abort(error):
    raise error

libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.sleep, ctypes.c_void_p(8), None)  # the end of the interpreter takes 8 s

board = FailureBoard(store.clone(), rank=1, size=2)
watchdog = Watchdog(store=store.clone(), board=board, members=("host1", "host2"), rank=1, store_rank=0,
                    timeout_seconds=600, abort=abort, evidence=HangEvidence(None))
life = NodeLife(store.clone(), number=1, num_nodes=2, timeout_seconds=600, abort=abort)
life.start()
with watchdog:
    time.sleep(2.5)
    print("working", flush=True)
    sys.stdin.readline()
life.stop(None)
print("left", flush=True)
end_process(5)
"""


def hold_store(port: "Connection[int, None]") -> None:
    timeout = timedelta(seconds=30)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timeout)
    port.send(store.port)
    time.sleep(600)


@contextmanager
def store_held() -> Iterator[tuple[int, int]]:
    """Process id and port of a store in a process of its own, which is gone afterwards."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = preloaded_context().Process(target=hold_store, args=(sender,))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid, receiver.recv()
    finally:
        process.kill()
        process.join()


@contextmanager
def started(*argv: str, pass_fds: Sequence[int] = (), **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process of the test, gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, *argv],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=pass_fds,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


WAKES_AFTER_SECONDS = (0, 4, None)


@pytest.fixture(scope="module")
def endings() -> dict[float | None, tuple[str, int]]:
    """What a process prints and its exit code, by when its store wakes; all wait at the same time."""
    with ExitStack() as stack:
        pairs = {}
        for wakes in WAKES_AFTER_SECONDS:
            store, port = stack.enter_context(store_held())
            pairs[wakes] = store, stack.enter_context(started("-c", LEAVE, str(port)))
        for store, leaving in pairs.values():
            assert read_line(leaving) == "working"
            os.kill(store, signal.SIGSTOP)
        time.sleep(2.5)  # until a thread has asked
        for _, leaving in pairs.values():
            assert leaving.stdin is not None
            print(file=leaving.stdin, flush=True)
        begun = time.monotonic()
        for wakes, (store, _) in pairs.items():
            if wakes is not None:
                time.sleep(max(0.0, begun + wakes - time.monotonic()))
                os.kill(store, signal.SIGCONT)
        printed = {wakes: leaving.communicate(timeout=20)[0] for wakes, (_, leaving) in pairs.items()}
        return {wakes: (printed[wakes], leaving.returncode) for wakes, (_, leaving) in pairs.items()}


@pytest.mark.parametrize("wakes_after_seconds", WAKES_AFTER_SECONDS)
def test_a_process_keeps_its_exit_code_though_a_thread_waits_for_a_frozen_store(
    endings: dict[float | None, tuple[str, int]], wakes_after_seconds: float | None
) -> None:
    assert endings[wakes_after_seconds] == ("left\n", 5)


@pytest.mark.slow
def test_a_training_whose_store_freezes_while_it_is_left_has_still_succeeded(tmp_path: Path) -> None:
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    group["MASTER_PORT"] = str(free_port())
    small = settings(
        "optimisation.num_epochs=1",
        "optimisation.schedule.drop_epochs=[]",
        "evaluation.every_num_epochs=0",
        "data.demo={seed: 1, num_train_images: 4, num_val_images: 2}",
        f"data.root={tmp_path / 'data'}",
    )
    argv = ["-m", "tests.distributed.leaving_group", "train", *small, "--run-dir", str(tmp_path / "run")]
    has_left, leaves = os.pipe()
    group |= {"LEFT_PIPE": str(leaves)}
    with (
        started(*argv, pass_fds=[leaves], RANK="0", LOCAL_RANK="0", **group) as holder,
        started(*argv, pass_fds=[leaves], RANK="1", LOCAL_RANK="1", **group) as other,
    ):
        os.close(leaves)
        assert select.select([has_left], [], [], 120)[0], "nobody has left"
        assert os.read(has_left, 4) == b"left"
        time.sleep(1.5)
        os.kill(holder.pid, signal.SIGCONT)
        for process in (holder, other):
            printed, _ = process.communicate(timeout=30)
            assert process.returncode == 0, printed
    os.close(has_left)
