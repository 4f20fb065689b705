"""Data workers that hang, die or find no room end in one clear error, and never hold up the end of a run."""

import ctypes
import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from hrdet_cli.engine.data.checking.looking import look_at_all
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.step_layout import BatchRequest
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.data.workers import BatchWorkers
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import Targets
from hrdet_cli.errors import DataError, HrdetError, LostProcessError, OutOfMemoryError
from tests.forked import CLONE_NEWNS, MS_REC, MS_SLAVE, call_libc, run_forked
from tests.process_ids import is_running

PLENTY = [BatchRequest(0, (Showing(number),)) for number in range(200)]


class Numbered(Dataset[UnpaddedBatch | HrdetError]):
    """Batches whose pixels are the number of their picture."""

    def __getitem__(self, request: BatchRequest) -> UnpaddedBatch | HrdetError:
        (number,) = request.indices
        pixels = torch.full((3, 128, 128), number, dtype=torch.uint8)
        targets = Targets(torch.zeros(1, 8, 4), torch.zeros(1, 8), torch.zeros(1, 8))
        return UnpaddedBatch([pixels], Size(128, 128), [0], targets, ())


class Waiting(Numbered):
    """Waits for ever for picture 3, as for a disk that does not answer."""

    def __getitem__(self, request: BatchRequest) -> UnpaddedBatch | HrdetError:
        if request.indices == (3,):
            signal.pause()
            time.sleep(1000)
        return super().__getitem__(request)


def workers_of(batches: Dataset[UnpaddedBatch | HrdetError], count: int = 2) -> BatchWorkers:
    return BatchWorkers(batches, num_workers=count, pin_memory=False)


def test_a_worker_that_hangs_does_not_hold_up_the_end() -> None:
    workers = workers_of(Waiting())
    batches = workers.make(PLENTY)
    assert [int(next(batches).pictures[0].max()) for _ in range(3)] == [0, 1, 2]
    pids = [process.pid for process in multiprocessing.active_children()]
    started = time.monotonic()
    workers.close()
    assert time.monotonic() - started < 8
    assert len(pids) == 2
    assert multiprocessing.active_children() == []


def test_the_death_of_a_worker_is_an_error_where_its_batch_is_waited_for() -> None:
    before = signal.getsignal(signal.SIGCHLD)
    workers = workers_of(Numbered(), 1)
    batches = workers.make(PLENTY)
    next(batches)
    assert signal.getsignal(signal.SIGCHLD) == before
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid or 0, signal.SIGKILL)
    time.sleep(0.5)  # a handler of its death would raise here
    with pytest.raises(LostProcessError, match=r"a data worker ended \(SIGKILL\); .*data\.num_workers=0"):
        list(batches)
    workers.close()


def test_signals_of_a_terminal_or_a_scheduler_leave_workers_alone() -> None:
    workers = workers_of(Numbered(), 1)
    batches = workers.make(PLENTY[:60])
    next(batches)
    (worker,) = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(worker.pid or 0, number)
    assert len(list(batches)) == 59
    workers.close()


def test_an_error_of_a_batch_is_raised_as_it_is() -> None:
    class Broken(Numbered):
        def __getitem__(self, request: BatchRequest) -> UnpaddedBatch | HrdetError:
            return DataError("a.jpg: is damaged")

    workers = workers_of(Broken(), 1)
    with pytest.raises(DataError, match=r"^a\.jpg: is damaged$"):
        next(workers.make(PLENTY))
    workers.close()


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def leave_workers_behind() -> None:
    batches = workers_of(Waiting()).make(PLENTY)
    next(batches)
    kill_after_naming(multiprocessing.active_children())


def leave_workers_that_have_not_begun(kind: str) -> None:
    """Dies when two workers are forked; they go on only then."""
    parent = os.getpid()

    def wait_for_its_end() -> None:
        while os.getppid() == parent:
            time.sleep(0.01)

    os.register_at_fork(after_in_child=wait_for_its_end)
    killer = threading.Timer(0.5, lambda: kill_after_naming(multiprocessing.active_children()))
    killer.start()
    if kind == "training":
        next(workers_of(Waiting()).make(PLENTY))
    else:
        next(look_at_all(32, lambda _: None, num_workers=2))


def kill_after_naming(processes: Sequence[BaseProcess]) -> None:
    say(*(process.pid for process in processes))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
@pytest.mark.parametrize(
    "leave",
    [
        (leave_workers_behind,),
        (leave_workers_that_have_not_begun, "training"),
        (leave_workers_that_have_not_begun, "looking"),
    ],
    ids=["at work", "before they began", "before they began to look at pictures"],
)
def test_workers_end_with_a_parent_that_is_killed(
    leave: tuple[Callable[..., None], *tuple[str, ...]],
) -> None:
    done = run_forked(*leave)
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def fill_shared_memory(size: str) -> None:
    """In a mount namespace of its own, with so much shared memory."""
    call_libc("unshare", CLONE_NEWNS)
    call_libc("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None)
    call_libc("mount", b"tmpfs", b"/dev/shm", b"tmpfs", ctypes.c_ulong(0), f"size={size}".encode())
    workers = workers_of(Numbered())
    try:
        _kept = list(workers.make(PLENTY))
    except OutOfMemoryError as error:
        say(error)
    workers.close()


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /dev/shm"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs to mount a small /dev/shm of its own, as root may")
@pytest.mark.parametrize("size", ["20k", "140k", "200k"])  # too small for the queues, or for the batches
def test_too_little_shared_memory_is_one_error_and_no_hang(size: str) -> None:
    done = run_forked(fill_shared_memory, size)
    assert "is too small for the batches of the data workers " in done.stdout
    assert "--shm-size=8g" in done.stdout
    assert "Traceback" not in done.stderr


def work_with_few_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len([*Path("/proc/self/fd").iterdir()])
    for spare in (0, 4, 8, 14, 22, 30, 40, 1000):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, most))
        workers = workers_of(Numbered(), 4)
        try:
            say(spare, sum(1 for _ in workers.make(PLENTY[:40])))
        except OutOfMemoryError as error:
            say(spare, str(error).replace(f"have {used + spare} here", "have N here"))
        workers.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        say(multiprocessing.active_children())


@pytest.mark.skipif(sys.platform != "linux", reason="counts the files that a process has open in /proc")
def test_too_few_open_files_are_one_error_that_leaves_no_process_whatever_they_are_missing_for() -> None:
    done = run_forked(work_with_few_files)
    assert done.stderr == ""
    told = (
        "too many open files: a process may have N here. Allow more, as with ulimit -n 4096, or take fewer "
        "data workers: --set data.num_workers=0 has none"
    )
    ends = [f"{spare} {told}" for spare in (0, 4, 8, 14, 22, 30, 40)]
    assert done.stdout.splitlines() == [line for end in [*ends, "1000 40"] for line in (end, "[]")]


@pytest.mark.parametrize("num_started", [0, 1])
def test_a_worker_that_the_system_does_not_start_is_one_error_and_those_started_end(
    monkeypatch: pytest.MonkeyPatch, num_started: int
) -> None:
    fork, num_forks = os.fork, 0

    def refuse_later() -> int:
        nonlocal num_forks
        num_forks += 1
        if num_forks > num_started:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork()

    monkeypatch.setattr(os, "fork", refuse_later)
    workers = workers_of(Numbered())
    with pytest.raises(OutOfMemoryError) as raised:
        next(workers.make(PLENTY))
    assert str(raised.value) == (
        "the system starts no more processes or threads here. Allow more (ulimit -u, or a container's limit "
        "of pids), or take fewer data workers: --set data.num_workers=0 has none"
    )
    assert multiprocessing.active_children() == []
    workers.close()
