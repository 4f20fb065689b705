"""``hrdet eval``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, quieten, stdout_console
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_detector
from hrdet_cli.cli.membership import is_worker, waits_for_others, with_detected_nodes
from hrdet_cli.cli.options import (
    ClassesOption,
    EmaOption,
    JsonOption,
    PresetOption,
    QuietOption,
    SetOption,
    SourceArgument,
    SpecOption,
    ValDataOption,
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
    TimeoutOption,
)
from hrdet_cli.cli.processes import run_in_processes
from hrdet_cli.wording import first_and_count

if TYPE_CHECKING:
    from hrdet_cli.runs.evaluation.evaluation import EvaluationReport


def evaluate(
    source: SourceArgument,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    classes: ClassesOption = None,
    use_ema: EmaOption = False,
    val_data: ValDataOption = None,
    settings: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where results go; default beside the weights."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="[FILE.html]",
            help="Write a page that says why AP is what it is; default report.html with the results.",
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    nodes: NodesOption = None,
    master_addr: MasterAddrOption = None,
    master_port: MasterPortOption = DEFAULT_PORT,
    node_rank: NodeRankOption = None,
    processes_per_node: ProcessesOption = None,
    timeout_seconds: TimeoutOption = DEFAULT_TIMEOUT_SECONDS,
) -> None:
    """Score a trained detector: COCO's 12 numbers, per-class AP, detections and pictures."""
    quieten(quiet)
    processes = with_detected_nodes(
        ProcessOptions(
            nodes=nodes,
            master_addr=master_addr,
            master_port=master_port,
            node_rank=node_rank,
            processes_per_node=processes_per_node,
            max_restarts=0,
            timeout_seconds=timeout_seconds,
        )
    )

    if not is_worker() and not waits_for_others(processes):  # a node may be without what the first one has
        refuse_missing_detector(
            source, use_ema=use_ema, spec_file=spec_file, classes=classes, val_data=val_data
        )

    def work(process: Process) -> bool:
        load_torch()
        from hrdet_cli.cli.display.progress import drive_evaluation
        from hrdet_cli.runs.evaluation.evaluation import evaluate_trained, page_path, refuse_without_data
        from hrdet_cli.runs.experiment import data_layers
        from hrdet_cli.runs.trained_detector.detector import TrainedDetector
        from hrdet_cli.runs.trained_detector.reading import read_trained_detector

        def read() -> TrainedDetector:
            trained = read_trained_detector(
                source,
                preset=preset,
                spec_file=spec_file,
                use_ema=use_ema,
                extra_layers=data_layers(val=val_data),
                settings=settings or [],
                classes=classes,
            )
            if val_data is None:
                refuse_without_data(trained)
            return trained

        page = page_path(False if report is None else report or True)
        events = evaluate_trained(read, out=out, report=page, stop_asked=process.stop_asked)
        evaluated = drive_evaluation(events)
        if evaluated is not None and process.is_first:
            _show(evaluated, as_json=as_json)
        return evaluated is None

    run_in_processes(
        work,
        processes,
        device=_device(settings or []),
        logs=_logs(Path(source), out),
        stop_message="stopping after this picture; nothing is written",
    )


def _logs(source: Path, out: Path | None) -> Path | None:
    """Beside the results; none on a node that has no part of the run, whose rank writes nothing."""
    folder = out or (source if source.is_dir() else source.parent)
    return folder / "logs" if out is not None or folder.is_dir() else None


def _device(settings: Sequence[str]) -> str:
    """``run.device`` as the command line has it; only the first process reads the checkpoint's spec."""
    values = [setting.partition("=")[2] for setting in settings if setting.startswith("run.device=")]
    return values[-1] if values else "auto"


def _show(report: "EvaluationReport", *, as_json: bool) -> None:
    from hrdet_cli.cli.display.evaluation import draw_report

    notices = list(report.notices)
    if report.unknown_classes:
        notices.append(f"unknown to the detector, counted as 0: {first_and_count(report.unknown_classes)}")
    if report.left_out_classes:
        notices.append(
            f"not in the annotations, detections left out: {first_and_count(report.left_out_classes)}"
        )
    print_notices(notices)
    if as_json:
        typer.echo(json.dumps(report.evaluation.to_json(), indent=2, ensure_ascii=False))
        return
    console = stdout_console()
    console.print(draw_report(report))
    for path in report.evaluation.files:
        console.print(str(path), style="dim", soft_wrap=True)
