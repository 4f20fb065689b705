"""One process of a group: a worker that a launcher started, or a member that something else started."""

import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from hrdet_cli.cli.display.console import is_quiet
from hrdet_cli.cli.failures import print_error
from hrdet_cli.cli.leaving import end_at_once
from hrdet_cli.cli.membership import describe_membership
from hrdet_cli.cli.process import Process, Work
from hrdet_cli.cli.process_options import DEFAULT_PORT
from hrdet_cli.cli.rank_log import rank_log
from hrdet_cli.cli.standard_streams import refuse_lost_result
from hrdet_cli.cli.stopping import stop_request
from hrdet_cli.errors import HrdetError, SpecError

if TYPE_CHECKING:
    from hrdet_cli.engine.distributed.environment import Membership
    from hrdet_cli.engine.distributed.meeting import Place
    from hrdet_cli.engine.distributed.worker import LaunchFolder

_NOTE_SECONDS = 2.0
"""A launcher and its workers hear of a stop at the same time; workers wait so long for its note."""


@dataclass(frozen=True, slots=True)
class GroupWork:
    """What the processes of a group do together.

    Attributes:
        work: Collectives work inside it.
        device: ``run.device`` of the spec.
        logs: Folder for a log file of each rank; None logs nothing.
    """

    work: Work
    device: str
    logs: Path | None


def work_as_member(group_work: GroupWork, membership: "Membership", *, timeout_seconds: float) -> None:
    """Take part in a group that torchrun, Slurm or MPI started.

    Args:
        group_work: What it does.
        membership: This process's place in it.
        timeout_seconds: How long the others are waited for.

    Raises:
        typer.Exit: The work was stopped.
    """
    if membership.rank == 0 and membership.size > 1 and not is_quiet():
        typer.echo(describe_membership(membership), err=True)
    with stop_request(says=None) as stop:
        was_stopped = _join_and_work(
            group_work,
            membership,
            None,
            stop.is_asked,
            timeout_seconds=timeout_seconds,
            leave=leave,
            folder=None,
        )
    if was_stopped:
        raise typer.Exit(stop.exit_code)


def work_for_launcher(group_work: GroupWork, folder: "LaunchFolder") -> None:
    """Be a worker: what ends it goes into the launch folder, and the launcher tells the user.

    Args:
        group_work: What it does.
        folder: Where launcher and workers leave word for each other.

    Raises:
        SpecError: The environment is not that of a worker.
    """
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

    def leave_word(error: HrdetError) -> NoReturn:
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
        group_work,
        membership,
        Place(orders.host, orders.holds_rendezvous, orders.node_rank),
        lambda: folder.stop_signal() is not None,
        timeout_seconds=orders.timeout_seconds,
        leave=leave_word,
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
        deadline = time.monotonic() + _NOTE_SECONDS
        while os.getpid() == process_id and folder.stop_signal() is None:  # a data worker's parent does this
            if time.monotonic() > deadline:
                os._exit(128 + number)
            time.sleep(0.05)

    return heed


def leave(error: HrdetError) -> NoReturn:
    """End at once: an orderly exit, or another thread, would wait for collectives that never end."""
    print_error(error)
    end_at_once(error.exit_code)


def _leave_after_crash() -> NoReturn:
    """Likewise, with a traceback."""
    traceback.print_exc()
    end_at_once(1)


def _join_and_work(
    group_work: GroupWork,
    membership: "Membership",
    place: "Place | None",
    stop_asked: Callable[[], bool],
    *,
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
            device_type=_device_type(group_work.device),
            timeout_seconds=timeout_seconds,
            abort=leave,
            logs=group_work.logs,
        ) as group:
            is_first = group.rank == 0
            file = None if group_work.logs is None else group_work.logs / f"rank-{group.rank}.log"
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
                was_stopped = group_work.work(process)
                refuse_lost_result()
                return was_stopped
    except HrdetError as error:
        leave(error)
    except Exception:
        _leave_after_crash()


def _device_type(device: str) -> str:
    import torch

    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
