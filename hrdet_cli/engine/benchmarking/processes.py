"""Processes on this machine, started for one piece of work and gone with it."""

import json
import pickle
import signal
import tempfile
import time
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, start_processes

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
            while not context.join():
                pass
        except ProcessException as ended:
            raise LostProcessError(_explain(ended, folder, num_processes)) from ended
        finally:
            for process in processes:
                process.kill()
                process.join()
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
        device = torch.device(device_type, rank if device_type == "cuda" else None)
        if device.type == "cuda":
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
        failure = {"rank": rank, "at": time.time_ns(), "message": f"{type(error).__name__}: {error}"}
        (folder / f"failure-{rank}").write_text(json.dumps(failure))
        raise


def _explain(ended: ProcessException, folder: Path, num_processes: int) -> str:
    """What happened first: the other processes fail as soon as one is gone."""
    failures = [json.loads(file.read_text()) for file in folder.glob("failure-*")]
    if isinstance(ended, ProcessExitedException) and ended.exit_code < 0:
        return (
            f"process {ended.error_index} of {num_processes} was ended by {ended.signal_name}; if nobody did "
            "so on purpose, memory ran out: try smaller --sizes or fewer --processes"
        )
    if not failures:
        return f"process {ended.error_index} of {num_processes} ended: {ended.msg}"
    first = min(failures, key=lambda failure: int(failure["at"]))
    return f"process {first['rank']} of {num_processes} failed: {' '.join(first['message'].split())}"
