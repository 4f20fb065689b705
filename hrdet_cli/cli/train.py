"""``hrdet train``."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import stdout_console
from hrdet_cli.cli.options import (
    JsonOption,
    PresetOption,
    SetOption,
    SpecOption,
    TrainDataOption,
    ValDataOption,
    load_from_options,
)
from hrdet_cli.errors import SpecError

if TYPE_CHECKING:
    from hrdet_cli.specs.loading import LoadedSpec

STOPPED_BY_USER = 130


def train(
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", metavar="DIR", help="Where the run goes; default runs/NAME.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --run-dir.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --run-dir.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the resolved spec, and stop.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Train a detector and evaluate it as it learns."""
    if resume and overwrite:
        raise SpecError(["--resume and --overwrite exclude each other"])
    if as_json and not dry_run:
        raise SpecError(["--json goes with --dry-run; a run writes metrics.jsonl into its folder"])
    if resume and preset is None and spec_file is None:
        spec_file = _saved_spec(run_dir)
    loaded = load_from_options(
        preset=preset, spec_file=spec_file, settings=settings, train_data=train_data, val_data=val_data
    )
    if dry_run:
        _print_plan(loaded, as_json=as_json)
        return
    _train(loaded, run_dir or Path("runs") / loaded.spec.name, resume=resume, overwrite=overwrite)


def _saved_spec(run_dir: Path | None) -> Path:
    from hrdet_cli.runs.run_folder import RunFolder

    if run_dir is None:
        raise SpecError(["--resume needs --run-dir DIR, the folder of the run to go on with"])
    folder = RunFolder(run_dir)
    folder.require()
    return folder.spec_file


def _print_plan(loaded: "LoadedSpec", *, as_json: bool) -> None:
    from hrdet_cli.runs.dataset import open_training_data
    from hrdet_cli.runs.plan import make_plan

    plan = make_plan(loaded, open_training_data(loaded.spec.data))
    if as_json:
        spec = loaded.spec.model_dump(mode="json")
        typer.echo(json.dumps({"plan": plan.to_json(), "spec": spec}, indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.plan import draw_plan
    from hrdet_cli.specs.loading import format_spec

    console = stdout_console()
    console.print(draw_plan(plan, loaded.spec))
    console.rule("resolved spec", align="left", style="dim")
    typer.echo(format_spec(loaded.spec), nl=False)


def _train(loaded: "LoadedSpec", path: Path, *, resume: bool, overwrite: bool) -> None:
    from hrdet_cli.cli.display.training import TrainingDisplay
    from hrdet_cli.runs.events import RunStopped
    from hrdet_cli.runs.run_folder import RunFolder
    from hrdet_cli.runs.train import train as train_run

    with _stop_on_interrupt() as stop, TrainingDisplay(stdout_console(), loaded.spec.run) as display:
        events = train_run(
            loaded, RunFolder(path), resume=resume, overwrite=overwrite, should_stop=stop.is_asked
        )
        for event in events:
            display.show(event)
            if isinstance(event, RunStopped):
                raise typer.Exit(STOPPED_BY_USER)


class _StopRequest:
    """Whether Ctrl-C was pressed; a second press interrupts at once."""

    def __init__(self) -> None:
        self._asked = False

    def is_asked(self) -> bool:
        return self._asked

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        typer.echo("finishing the step and saving; Ctrl-C again stops at once and loses it", err=True)


@contextmanager
def _stop_on_interrupt() -> Iterator[_StopRequest]:
    request = _StopRequest()
    before = signal.signal(signal.SIGINT, request.ask)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
