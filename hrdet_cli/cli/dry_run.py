"""``hrdet train --dry-run``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from hrdet_cli.cli.display.console import print_notices, stdout_console
from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.cli.processes import num_processes

if TYPE_CHECKING:
    from hrdet_cli.specs.loading import LoadedSpec


def plan_run(
    loaded: "LoadedSpec",
    processes: ProcessOptions,
    *,
    rate: float | None,
    runs: Path,
    resumed: Path | None,
    as_json: bool,
) -> None:
    """Print what a run will do and its resolved spec.

    Args:
        loaded: The experiment.
        processes: In how many processes it would run.
        rate: Pictures a second that one process trains by itself; None takes what such steps took before.
        runs: Folder of the runs that took it.
        resumed: Folder of the run that goes on where there is one; None starts a new one.
        as_json: Print one document.

    Raises:
        DataError: The data cannot be used.
    """
    from hrdet_cli.runs.anchor_advice import advise_anchors
    from hrdet_cli.runs.dataset.opening import DataNeeds, open_training_data
    from hrdet_cli.runs.planning import make_plan
    from hrdet_cli.runs.resumed_plan import as_resumed
    from hrdet_cli.runs.run_folder import RunFolder
    from hrdet_cli.runs.run_time.estimate import time_at_rate, time_on_record
    from hrdet_cli.specs.loading import with_settings

    count = num_processes(processes, device=loaded.spec.run.device)
    data = open_training_data(loaded.spec.data, DataNeeds.of(loaded.spec.model.head))
    print_notices(data.notices)
    plan = make_plan(loaded, data, num_processes=count)
    if resumed is not None:
        plan = as_resumed(plan, RunFolder(resumed))
    anchors = advise_anchors(loaded.spec, data.train.annotations)
    if rate is None:
        found = None if anchors is None else anchors.found
        time = time_on_record(with_settings(loaded.spec, () if found is None else found.settings), plan, runs)
    else:
        time = time_at_rate(plan, rate)
    if as_json:
        document = {
            "plan": plan.to_json(),
            "time": None if time is None else time.to_json(),
            "anchors": None if anchors is None else anchors.to_json(),
            "spec": loaded.spec.model_dump(mode="json"),
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.plan import describe_time, print_plan
    from hrdet_cli.specs.loading import format_spec

    console = stdout_console()
    print_plan(plan, loaded.spec, console, anchors=anchors, time=describe_time(time, plan, runs))
    console.rule("resolved spec", align="left", style="dim")
    typer.echo(format_spec(loaded.spec), nl=False)
