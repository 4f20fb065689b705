"""How many processes a command runs in, and what each of them is.

The same command line is one of four things: a process of its own; a node's *launcher*, which starts workers;
a *worker* that a launcher started; or a *member* that torchrun, Slurm or MPI started.
"""

import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, NoReturn

import typer

import hrdet_cli
from hrdet_cli.cli.display.console import is_quiet
from hrdet_cli.cli.failures import print_error
from hrdet_cli.cli.leaving import end_at_once
from hrdet_cli.cli.membership import describe_membership, membership_of
from hrdet_cli.cli.process_options import DEFAULT_PORT, ProcessOptions
from hrdet_cli.cli.rank_log import log_of_one, rank_log
from hrdet_cli.cli.standard_streams import refuse_lost_result
from hrdet_cli.cli.stopping import stop_request
from hrdet_cli.errors import HrdetError, SpecError

if TYPE_CHECKING:
    from hrdet_cli.engine.distributed.environment import Membership
    from hrdet_cli.engine.distributed.meeting import Place
    from hrdet_cli.engine.distributed.worker import LaunchFolder


@dataclass(frozen=True, slots=True)
class Process:
    """One of a command's processes, as its work sees it.

    Attributes:
        is_first: It draws and writes; the others only log.
        stop_asked: Whether this process was asked to stop.
        log: Where its lines go beside the terminal; None for none.
        hosts: Name of each process's node, by rank.
        launch_id: The same in all processes of a launch, and after a restart; None where hrdet did not
            launch.
    """

    is_first: bool
    stop_asked: Callable[[], bool]
    log: IO[str] | None
    hosts: tuple[str, ...]
    launch_id: str | None


NOTE_SECONDS = 2.0
"""A launcher and its workers hear of a stop at the same time; workers wait so long for its note."""

Work = Callable[[Process], bool]
"""What a command does in each process; whether it was stopped before its end."""


def run_in_processes(
    work: Work,
    options: ProcessOptions,
    *,
    device: str,
    logs: Path | None,
    stop_message: str,
    logs_alone: bool = False,
) -> None:
    """Do a command's work in as many processes as were asked for, or take part in it.

    Args:
        work: Collectives work inside it.
        options: From the command line.
        device: ``run.device`` of the spec.
        logs: Folder for a log file of each rank, where there are several; None logs nothing.
        stop_message: What a process of its own says when it is asked to stop.
        logs_alone: Whether a process of its own has a log file too.

    Raises:
        HrdetError: The work's, or the group's.
        typer.Exit: The work was stopped.
    """
    from hrdet_cli.engine.distributed.worker import launch_folder

    options.check()
    folder = launch_folder(os.environ)
    if folder is not None:
        _work_for_launcher(work, folder, device=device, logs=logs)
        return
    membership = membership_of(options)
    if membership is not None:
        _work_as_member(work, membership, options, device=device, logs=logs)
    elif num_processes(options, device=device) == 1 and options.max_restarts == 0:
        _work_alone(work, stop_message, log_file=logs / "rank-0.log" if logs and logs_alone else None)
    else:
        _launch(options, device=device)


def num_processes(options: ProcessOptions, *, device: str) -> int:
    """Processes over all nodes; imports torch only where there may be a GPU to count."""
    return (options.nodes or 1) * (options.processes_per_node or _num_local_devices(device))


def _num_local_devices(device: str) -> int:
    if device == "cpu" or not Path("/dev/nvidiactl").exists():
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def _device_type(device: str) -> str:
    import torch

    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _work_alone(work: Work, stop_message: str, *, log_file: Path | None) -> None:
    with stop_request(says=stop_message) as stop, log_of_one(log_file) as log:
        process = Process(
            is_first=True,
            stop_asked=stop.is_asked,
            log=log,
            hosts=(socket.gethostname(),),
            launch_id=None,
        )
        was_stopped = work(process)
    if was_stopped:
        raise typer.Exit(stop.exit_code)


def _launch(options: ProcessOptions, *, device: str) -> None:
    """Start this node's processes and wait for them."""
    import torch

    from hrdet_cli.engine.distributed.launch import LaunchRequest, launch

    nodes = options.nodes or 1
    request = LaunchRequest(
        num_nodes=nodes,
        num_processes=options.processes_per_node or _num_local_devices(device),
        master_address=options.master_addr or "127.0.0.1",
        master_port=options.master_port if nodes > 1 else 0,
        node_rank=options.node_rank,
        max_restarts=options.max_restarts,
        timeout_seconds=options.timeout_seconds,
        host=socket.gethostname(),
        versions=f"hrdet {hrdet_cli.__version__}, torch {torch.__version__}",
    )
    logging.disable()  # torch elastic tells of every step it takes; what goes wrong it raises
    worker = [sys.executable, "-m", "hrdet_cli", *sys.argv[1:]]
    stopped = launch(request, worker, say=lambda line: typer.echo(line, err=True), abort=_leave)
    if stopped is not None:
        raise typer.Exit(stopped.exit_code)


def _work_as_member(
    work: Work, membership: "Membership", options: ProcessOptions, *, device: str, logs: Path | None
) -> None:
    """Take part in a group that torchrun, Slurm or MPI started."""
    if membership.rank == 0 and membership.size > 1 and not is_quiet():
        typer.echo(describe_membership(membership), err=True)
    with stop_request(says=None) as stop:
        was_stopped = _join_and_work(
            work,
            membership,
            None,
            stop.is_asked,
            device=device,
            logs=logs,
            timeout_seconds=options.timeout_seconds,
            leave=_leave,
            folder=None,
        )
    if was_stopped:
        raise typer.Exit(stop.exit_code)


def _work_for_launcher(work: Work, folder: "LaunchFolder", *, device: str, logs: Path | None) -> None:
    """Be a worker: what ends it goes into the launch folder, and the launcher tells the user."""
    from hrdet_cli.engine.distributed.environment import detect_membership
    from hrdet_cli.engine.distributed.failure import failure_of
    from hrdet_cli.engine.distributed.meeting import Place
    from hrdet_cli.engine.distributed.stop_signals import stop_signals
    from hrdet_cli.engine.distributed.worker import die_with

    orders = folder.orders()
    die_with(orders.launcher_pid)
    membership = detect_membership(os.environ, default_port=DEFAULT_PORT)
    if membership is None:
        raise SpecError(["HRDET_LAUNCH_FOLDER is set, but torch elastic's variables are not; unset it"])
    local_rank = membership.local_rank
    folder.forget(local_rank)

    def leave(error: HrdetError) -> NoReturn:
        failure = failure_of(error, rank=membership.rank, host=orders.host)
        folder.write_outcome(local_rank, failure)
        place = folder.place(local_rank)
        if place is not None and place.rank > 0:
            print_error(error)  # into its log
        # Torch elastic starts processes anew that end badly, which this error would survive.
        ends_well = failure.is_final and orders.max_restarts > 0
        end_at_once(0 if ends_well else failure.exit_code)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in stop_signals():
        if number != signal.SIGINT:
            signal.signal(number, _signal_heeder(folder))
    was_stopped = _join_and_work(
        work,
        membership,
        Place(orders.host, orders.holds_rendezvous, orders.node_rank),
        lambda: folder.stop_signal() is not None,
        device=device,
        logs=logs,
        timeout_seconds=orders.timeout_seconds,
        leave=leave,
        folder=folder,
    )
    if was_stopped:
        folder.note_stopped()


def _signal_heeder(folder: "LaunchFolder") -> Callable[[int, FrameType | None], None]:
    """A handler for the signals that end a worker, or that its launcher gets too.

    Torch elastic ends workers by SIGTERM to start others; a scheduler, or a terminal that is closed, signals
    launcher and workers alike.  In the second case the launcher notes it, perhaps a moment later, and the
    work heeds the note.
    """
    process_id = os.getpid()

    def heed(number: int, _frame: FrameType | None) -> None:
        deadline = time.monotonic() + NOTE_SECONDS
        while os.getpid() == process_id and folder.stop_signal() is None:  # a data worker's parent does this
            if time.monotonic() > deadline:
                os._exit(128 + number)
            time.sleep(0.05)

    return heed


def _leave(error: HrdetError) -> NoReturn:
    """End at once: an orderly exit, or another thread, would wait for collectives that never end."""
    print_error(error)
    end_at_once(error.exit_code)


def _leave_after_crash() -> NoReturn:
    """Likewise, with a traceback."""
    traceback.print_exc()
    end_at_once(1)


def _join_and_work(
    work: Work,
    membership: "Membership",
    place: "Place | None",
    stop_asked: Callable[[], bool],
    *,
    device: str,
    logs: Path | None,
    timeout_seconds: float,
    leave: Callable[[HrdetError], NoReturn],
    folder: "LaunchFolder | None",
) -> bool:
    """Do a command's work as one process of a group; whether it was stopped.  An error ends the process."""
    from hrdet_cli.engine.distributed.group import joined_group
    from hrdet_cli.engine.distributed.worker import WorkerPlace

    try:
        with joined_group(
            membership,
            place=place,
            device_type=_device_type(device),
            timeout_seconds=timeout_seconds,
            abort=leave,
            logs=logs,
        ) as group:
            is_first = group.rank == 0
            file = None if logs is None else logs / f"rank-{group.rank}.log"
            if file is not None and not is_first and membership.local_rank == 0 and not is_quiet():
                name = f"rank {group.rank} of {len(group.hosts)}, on {group.hosts[group.rank]}"
                typer.echo(f"{name}, logs to {file}", err=True)
            if folder is not None:
                log_file = None if file is None else str(file.absolute())
                folder.write_place(membership.local_rank, WorkerPlace(group.rank, os.getpid(), log_file))
            with rank_log(file, is_first=is_first) as log:
                process = Process(
                    is_first=is_first,
                    stop_asked=stop_asked,
                    log=log,
                    hosts=group.hosts,
                    launch_id=None if folder is None else folder.orders().launch_id,
                )
                was_stopped = work(process)
                refuse_lost_result()
                return was_stopped
    except HrdetError as error:
        leave(error)
    except Exception:
        _leave_after_crash()
