"""Processes on this machine, started for one piece of work and gone with it."""

import json
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from hrdet_cli.errors import LostProcessError

Result = TypeVar("Result")


def run_in_processes(
    work: Callable[[torch.device], Result], *, num_processes: int, device_type: str
) -> Result:
    """Start processes that form a group, let each do the same work, and wait for them.

    They use gloo on the CPU and NCCL on GPUs, one GPU each.  When one fails, or this process is interrupted,
    all are ended.

    Args:
        work: A function that a fresh process can import; is given the process's device.
        num_processes: How many.
        device_type: ``"cpu"`` or ``"cuda"``.

    Returns:
        What the work returned on rank 0, which must be picklable.

    Raises:
        LostProcessError: A process failed; says which, and why.
    """
    with tempfile.TemporaryDirectory(prefix="hrdet-") as name:
        folder = Path(name)
        processes: list[BaseProcess] = []
        try:
            with _InterruptsHeld():
                context = start_processes(  # type: ignore[no-untyped-call]
                    _run_one,
                    args=(work, num_processes, device_type, folder),
                    nprocs=num_processes,
                    join=False,
                    start_method="spawn",
                )
                processes += context.processes
            failed_rank = _wait_for_end(processes)
        finally:
            for process in processes:
                process.kill()
                process.join()
        if failed_rank is not None:
            raise _explain(failed_rank, processes, folder)
        return cast("Result", pickle.loads((folder / "result").read_bytes()))  # noqa: S301 - our own file


class _InterruptsHeld:
    """Starts processes that do not hear Ctrl-C before :func:`_run_one` says so; nothing is lost meanwhile."""

    def __enter__(self) -> None:
        resource_tracker.ensure_running()  # would let interrupts through again when it is started in between
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _run_one(
    rank: int, work: Callable[[torch.device], object], size: int, device_type: str, folder: Path
) -> None:
    """The life of one process."""
    # Ctrl-C, and the parent's death, end it at once and without words, even while it waits for a message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        torch.set_num_threads(max(1, torch.get_num_threads() // size))
        device = torch.device(device_type)
        if device.type == "cuda":
            device = torch.device("cuda", rank)
            torch.cuda.set_device(device)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
            init_method=(folder / "store").as_uri(),
            rank=rank,
            world_size=size,
        )
        result = work(device)
        if rank == 0:
            (folder / "result").write_bytes(pickle.dumps(result))
        dist.destroy_process_group()
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        failure = {"rank": rank, "at": time.time_ns(), "words": words, "trace": traceback.format_exc()}
        (folder / f"failure-{rank}").write_text(json.dumps(failure))
        sys.exit(1)


def _wait_for_end(processes: Sequence[BaseProcess]) -> int | None:
    """Returns when all processes have done their work, or with the rank of the first that has failed."""
    rank_by_sentinel = {process.sentinel: rank for rank, process in enumerate(processes)}
    while rank_by_sentinel:
        for sentinel in wait(list(rank_by_sentinel)):
            rank = rank_by_sentinel.pop(cast("int", sentinel))
            processes[rank].join()
            if processes[rank].exitcode != 0:
                return rank
    return None


def _explain(failed_rank: int, processes: Sequence[BaseProcess], folder: Path) -> LostProcessError:
    """What happened first, which need not be what was seen first: others fail as soon as one is gone."""
    failures = [json.loads(file.read_text()) for file in folder.glob("failure-*")]
    exit_code = processes[failed_rank].exitcode or 0
    if exit_code < 0:
        return LostProcessError(
            f"process {failed_rank} of {len(processes)} was ended by {signal.Signals(-exit_code).name}; if "
            "nobody did so on purpose, memory ran out: try smaller --sizes or fewer --processes"
        )
    if not failures:
        return LostProcessError(f"process {failed_rank} of {len(processes)} ended with code {exit_code}")
    first = min(failures, key=lambda failure: int(failure["at"]))
    error = LostProcessError(f"process {first['rank']} of {len(processes)} failed: {first['words']}")
    error.add_note(first["trace"])
    return error
