"""How long a planned run will take, and by what that is known. Does not import torch."""

import platform
from pathlib import Path

from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.rehearsal.rehearsal import hours_of
from hrdet_cli.runs.run_time.compared_paddings import times_of_comparisons
from hrdet_cli.runs.run_time.conditions import Conditions
from hrdet_cli.runs.run_time.known_time import RunTime
from hrdet_cli.runs.run_time.launched_runs import times_of_runs
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import counted


def time_at_rate(plan: Plan, rate: float) -> RunTime:
    """What a run takes by arithmetic alone.

    Args:
        plan: Of the run.
        rate: Pictures a second that each of its processes trains.
    """
    step_seconds = plan.batch_size / (plan.num_processes * rate)
    each = "" if plan.num_processes == 1 else f" on each of {plan.num_processes} processes"
    steps = f"{counted(plan.num_steps, 'step')} of {counted(plan.batch_size, 'picture')}"
    return RunTime(3600 * hours_of(step_seconds, plan), f"arithmetic, {steps} at {rate:g} a second{each}")


def time_on_record(spec: ExperimentSpec, plan: Plan, folder: Path) -> RunTime | None:
    """What a run takes by what steps under the same conditions took before.

    Of several records, those of this machine go first, then those that tell more, then the latest.

    Args:
        spec: The experiment, with numbers for anchors that are to be found.
        plan: Of the run.
        folder: Where runs and comparisons of padding policies are, each in a folder of its own.

    Returns:
        None where nothing is on record, or pictures of a step are still to be found.
    """
    if plan.finds_batch_size:
        return None
    wanted = Conditions.of(
        spec.model_dump(mode="json"),
        data_fingerprint=plan.train.fingerprint,
        num_processes=plan.num_processes,
    )
    known = [*times_of_runs(wanted, plan, folder), *times_of_comparisons(wanted, plan, folder)]
    if not known:
        return None
    here = platform.node()
    return max(known, key=lambda one: (one.host == here, one.kind, one.when)).time
