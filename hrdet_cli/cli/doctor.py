"""``hrdet doctor``."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.options import JsonOption
from hrdet_cli.cli.process import Process
from hrdet_cli.cli.process_options import (
    DEFAULT_PORT,
    DEFAULT_TIMEOUT_SECONDS,
    MasterAddrOption,
    MasterPortOption,
    NodeRankOption,
    NodesOption,
    ProcessesOption,
    ProcessOptions,
    TimeoutOption,
)
from hrdet_cli.cli.processes import run_in_processes
from hrdet_cli.errors import HrdetError

DEFAULT_RUN_DIR = Path("runs")


class ProblemsFoundError(HrdetError):
    """The examination of a group found problems."""


def doctor(
    master_addr: MasterAddrOption = None,
    master_port: MasterPortOption = DEFAULT_PORT,
    run_dir: Annotated[
        Path, typer.Option("--run-dir", metavar="DIR", help="Where runs are to be written.")
    ] = DEFAULT_RUN_DIR,
    as_json: JsonOption = False,
    nodes: NodesOption = None,
    node_rank: NodeRankOption = None,
    processes_per_node: ProcessesOption = None,
    timeout_seconds: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Say what this machine has for training and what is wrong with it; exit code 1 with problems.

    With `--nodes N --master-addr A` on every machine, or under torchrun or srun, it forms the group as
    training does and examines that.
    """
    from hrdet_cli.engine.distributed.environment import detect_membership

    processes = ProcessOptions(
        nodes=nodes,
        master_addr=master_addr,
        master_port=master_port,
        node_rank=node_rank,
        processes_per_node=processes_per_node,
        max_restarts=0,
        timeout_seconds=timeout_seconds,
    )
    is_member = detect_membership(os.environ, default_port=master_port) is not None
    if nodes is not None or processes_per_node is not None or is_member:
        _examine_group(processes, run_dir, as_json=as_json)
    else:
        _examine_machine(processes, run_dir, as_json=as_json)


def _examine_machine(processes: ProcessOptions, run_dir: Path, *, as_json: bool) -> None:
    from hrdet_cli.cli.display.doctor import draw_findings
    from hrdet_cli.runs.doctor.finding import has_problem
    from hrdet_cli.runs.doctor.machine import examine_machine

    findings = examine_machine(
        os.environ,
        run_folder=run_dir,
        master_address=processes.master_addr,
        master_port=processes.master_port,
    )
    if as_json:
        document = {"findings": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        stdout_console().print(draw_findings(findings))
    if has_problem(findings):
        raise typer.Exit(1)


def _examine_group(processes: ProcessOptions, run_dir: Path, *, as_json: bool) -> None:
    def work(process: Process) -> bool:
        if examine_and_show_group(process.hosts, run_dir=run_dir, as_json=as_json):
            raise ProblemsFoundError("the group has problems; rank 0 shows them with their remedies")
        return False

    run_in_processes(work, processes, device="auto", logs=None, stop_message="stopping the examination")


def examine_and_show_group(hosts: Sequence[str], *, run_dir: Path, as_json: bool) -> bool:
    """What each process of ``hrdet doctor --nodes`` does on the live group; rank 0 prints.

    Args:
        hosts: Name of each process's node, by rank.
        run_dir: Where runs are to be written.
        as_json: Print one document instead of tables.

    Returns:
        Whether there are problems, which is exit code 1; the same on every process.

    Raises:
        LostProcessError: A process is gone.
    """
    import torch

    from hrdet_cli.cli.display.doctor import draw_group
    from hrdet_cli.engine.distributed.world import current_world
    from hrdet_cli.runs.doctor.group import examine_group
    from hrdet_cli.runs.doctor.machine import examine_machine

    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda", torch.cuda.current_device()) if has_gpu else torch.device("cpu")
    machine = examine_machine(os.environ, run_folder=run_dir, master_address=None, master_port=DEFAULT_PORT)
    examination = examine_group(device, machine=machine, hosts=hosts)
    if current_world().rank == 0:
        if as_json:
            typer.echo(json.dumps(examination.to_json(), indent=2, ensure_ascii=False))
        else:
            stdout_console().print(draw_group(examination))
    return examination.has_problem
