"""``hrdet train``."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from hrdet_cli.activity import heard_by
from hrdet_cli.cli.display.console import file_console, is_quiet, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.dry_run import plan_run
from hrdet_cli.cli.given_paths import refuse_missing_data
from hrdet_cli.cli.membership import is_first_node, is_worker, waits_for_others, with_detected_nodes
from hrdet_cli.cli.named_run import named_run_folder, saved_spec
from hrdet_cli.cli.options import (
    PRESET_PANEL,
    JsonOption,
    PresetOption,
    QuietOption,
    SetOption,
    SpecOption,
    TrainDataOption,
    ValDataOption,
    data_sets,
    load_from_options,
)
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
    RestartsOption,
    TimeoutOption,
)
from hrdet_cli.cli.processes import run_in_processes
from hrdet_cli.cli.refusal import refused_for_all
from hrdet_cli.cli.rehearse import NetworkOption, RateOption, RehearseOption, parse_shape, rehearse_run
from hrdet_cli.cli.standard_streams import do_without_stdout
from hrdet_cli.errors import SpecError

if TYPE_CHECKING:
    from hrdet_cli.runs.events import Event
    from hrdet_cli.runs.preparation.launch import Resume
    from hrdet_cli.runs.rehearsal.rehearsal import Shape
    from hrdet_cli.specs.loading import LoadedSpec


def train(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="With --resume or --auto-resume: the run folder, as --run-dir.",
            readable=False,
        ),
    ] = None,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="FILE",
            help="Weights to start from: a file, a run folder, an address, or a name such as "
            "imagenet:hrnetv2_w18; of a backbone or a detector.",
            rich_help_panel=PRESET_PANEL,
        ),
    ] = None,
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Start from random weights, and train all that the preset would keep of trained ones.",
            rich_help_panel=PRESET_PANEL,
        ),
    ] = False,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Where the run goes; default runs/NAME.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run-dir.")] = False,
    auto_resume: Annotated[
        bool,
        typer.Option(
            "--auto-resume", help="Go on with the run in --run-dir where there is one, or else start it."
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --run-dir.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the resolved spec, and stop.")
    ] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    rehearse: RehearseOption = None,
    network: NetworkOption = None,
    rate: RateOption = None,
    nodes: NodesOption = None,
    master_addr: MasterAddrOption = None,
    master_port: MasterPortOption = DEFAULT_PORT,
    node_rank: NodeRankOption = None,
    processes_per_node: ProcessesOption = None,
    max_restarts: RestartsOption = 0,
    timeout_seconds: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Train a detector and evaluate it as it learns."""
    quieten(quiet)
    processes = with_detected_nodes(
        ProcessOptions(
            nodes=nodes,
            master_addr=master_addr,
            master_port=master_port,
            node_rank=node_rank,
            processes_per_node=processes_per_node,
            max_restarts=max_restarts,
            timeout_seconds=timeout_seconds,
        )
    )
    _refuse_several({"--resume": resume, "--auto-resume": auto_resume, "--overwrite": overwrite})
    mode: Resume = "always" if resume else "if-begun" if auto_resume else "never"
    given_data = [*data_sets(train_data), *([] if val_data is None else [val_data])]
    lone_sources = [source for source, images in given_data if not images]
    run_dir = named_run_folder(run, run_dir, resumes=mode != "never", lone_sources=lone_sources)
    plans_alone = dry_run or rehearse is not None
    if as_json and not plans_alone:
        raise SpecError(
            ["--json goes with --dry-run and --rehearse; a run writes metrics.jsonl into its folder"]
        )
    if rate is not None and not plans_alone:
        raise SpecError(["--rate goes with --dry-run and with --rehearse NODESxGPUS"])
    is_of_run = dry_run or nodes is not None or mode != "never" or overwrite
    shape = _rehearsed_shape(rehearse, is_of_run=is_of_run, names_network=bool(network))
    processes.check()
    with refused_for_all(processes):
        if mode != "never" and preset is None and spec_file is None:
            spec_file = saved_spec(run_dir, processes)
        loaded = load_from_options(
            preset=preset,
            spec_file=spec_file,
            settings=settings,
            train_data=train_data,
            val_data=val_data,
            weights=weights,
            from_scratch=from_scratch,
        )
        path = run_dir or Path("runs") / loaded.spec.name
        if not is_worker():
            _refuse_missing_paths(loaded, path, processes, resume=mode, plans_alone=plans_alone)
        if not plans_alone and waits_for_others(processes):
            _check_node(loaded, path, processes, resume=mode, overwrite=overwrite)
    if shape is not None:
        rehearse_run(loaded, shape, networks=network or (), rate=rate, run_dir=run_dir, as_json=as_json)
    elif dry_run:
        resumed = None if mode == "never" else path
        plan_run(loaded, processes, rate=rate, runs=path.parent, resumed=resumed, as_json=as_json)
    else:
        _train(loaded, path, processes, resume=mode, overwrite=overwrite)


def _rehearsed_shape(rehearse: str | None, *, is_of_run: bool, names_network: bool) -> "Shape | None":
    """The nodes and GPUs that are to be planned for; None of a run.

    Raises:
        SpecError: Options do not go together, or they are none.
    """
    if rehearse is None and names_network:
        raise SpecError(["--network goes with --rehearse NODESxGPUS"])
    shape = None if rehearse is None else parse_shape(rehearse)
    if shape is not None and is_of_run:
        raise SpecError(
            [
                f"--rehearse {rehearse}: plans a new run and stops; leave --nodes, --dry-run, "
                "--resume, --auto-resume and --overwrite away"
            ]
        )
    return shape


def _refuse_several(given: Mapping[str, bool]) -> None:
    if sum(given.values()) > 1:
        names = " and ".join(name for name, is_given in given.items() if is_given)
        raise SpecError([f"{names} exclude each other"])


def _refuse_missing_paths(
    loaded: "LoadedSpec", path: Path, processes: ProcessOptions, *, resume: "Resume", plans_alone: bool
) -> None:
    """Data must be there, and what a run starts from; plans look at data themselves."""
    from hrdet_cli.runs.run_folder import RunFolder
    from hrdet_cli.runs.starting_weights import refuse_missing_weights

    if not plans_alone:
        refuse_missing_data(loaded.spec.data, ("train", "val"))
    may_go_on = resume != "never"
    if may_go_on and not plans_alone and waits_for_others(processes) and not is_first_node(processes):
        return  # the first node has the run
    if not (may_go_on and RunFolder(path).checkpoints_newest_first()):
        refuse_missing_weights(loaded.spec.model.weights, may_come=plans_alone)


def _check_node(
    loaded: "LoadedSpec", path: Path, processes: ProcessOptions, *, resume: "Resume", overwrite: bool
) -> None:
    from hrdet_cli.runs.node_check import check_node
    from hrdet_cli.runs.run_folder import RunFolder

    check_node(
        loaded.spec,
        RunFolder(path),
        keeps_folder=is_first_node(processes),
        resume=resume,
        overwrite=overwrite,
        num_processes=processes.processes_per_node,
    )


def _train(
    loaded: "LoadedSpec", path: Path, processes: ProcessOptions, *, resume: "Resume", overwrite: bool
) -> None:
    from hrdet_cli.runs.run_folder import RunFolder

    folder = RunFolder(path)
    if resume != "always":
        folder.refuse_if_foreign()  # before a process puts its log there

    def work(process: Process) -> bool:
        load_torch()
        from hrdet_cli.runs.preparation.launch import Launch
        from hrdet_cli.runs.train import train as train_run

        do_without_stdout()
        launch = Launch(resume=resume, overwrite=overwrite, hosts=process.hosts, launch_id=process.launch_id)
        return _show(train_run(loaded, folder, launch, stop_asked=process.stop_asked), loaded, process.log)

    run_in_processes(
        work,
        processes,
        device=loaded.spec.run.device,
        logs=folder.logs,
        stop_message="finishing the step and saving; Ctrl-C again stops at once and loses it",
        logs_alone=True,
    )


def _show(events: Iterator["Event"], loaded: "LoadedSpec", log: IO[str] | None) -> bool:
    """Draw a run on the terminal and in the log; whether it was stopped."""
    from hrdet_cli.cli.display.training import TrainingDisplay
    from hrdet_cli.runs.events import RunStopped

    screen = TrainingDisplay(stdout_console(), loaded.spec.run, is_quiet=is_quiet())
    displays = [screen, *([] if log is None else [TrainingDisplay(file_console(log), loaded.spec.run)])]
    was_stopped = False
    with ExitStack() as stack:
        for display in displays:
            stack.enter_context(display)
        stack.enter_context(heard_by(screen.work))
        for event in events:
            for display in displays:
                display.show(event)
            was_stopped = isinstance(event, RunStopped)
    return was_stopped
