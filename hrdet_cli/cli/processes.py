"""How many processes a command runs in, and what each of them is.

The same command line is one of four things: a process of its own; a node's *launcher*, which starts workers;
a *worker* that a launcher started; or a *member* that torchrun, Slurm or MPI started.
"""

import logging
import os
import socket
import sys
from pathlib import Path

import typer

import hrdet_cli
from hrdet_cli.cli.group_process import GroupWork, leave, work_as_member, work_for_launcher
from hrdet_cli.cli.membership import membership_of
from hrdet_cli.cli.process import Process, Work
from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.cli.rank_log import log_of_one
from hrdet_cli.cli.stopping import stop_request


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
        work_for_launcher(GroupWork(work, device, logs), folder)
        return
    membership = membership_of(options)
    if membership is not None:
        work_as_member(GroupWork(work, device, logs), membership, timeout_seconds=options.timeout_seconds)
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
    stopped = launch(request, worker, say=lambda line: typer.echo(line, err=True), abort=leave)
    if stopped is not None:
        raise typer.Exit(stopped.exit_code)
