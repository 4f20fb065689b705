"""What steps took in runs, as their folders have it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.runs.metrics_file import read_history
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.rehearsal.rehearsal import hours_of
from hrdet_cli.runs.run_folder import RECORD_FILE, RunFolder
from hrdet_cli.runs.run_time.conditions import Conditions
from hrdet_cli.runs.run_time.known_time import Kind, KnownTime, RunTime
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.spec_text import parse_spec
from hrdet_cli.wording import counted

FEWEST_STEPS = 5
"""Fewer do not tell how long others take."""


class _Plan(msgspec.Struct):
    num_processes: int


class _Fingerprints(msgspec.Struct):
    train: str


class _LargestStep(msgspec.Struct):
    canvas: str
    num_pictures: int
    seconds: float


class _Launch(msgspec.Struct):
    """An entry of ``run.json``."""

    started: str
    host: str
    device: str
    first_step: int
    plan: _Plan
    data_fingerprints: _Fingerprints
    largest_step: _LargestStep | None = None


def times_of_runs(wanted: Conditions, plan: Plan, folder: Path) -> Iterator[KnownTime]:
    """What a run takes by the steps of others, or by the largest one that was tried before them.

    Args:
        wanted: Conditions of the run; others are left out.
        plan: Of the run.
        folder: Where run folders are; what is damaged in them is left out.
    """
    for record in sorted(folder.glob(f"*/{RECORD_FILE}")):
        run = RunFolder(record.parent)
        launch = _last_launch(run)
        if launch is not None and _conditions(run, launch, wanted) == wanted:
            yield from _times_of(run, launch, plan)


def _last_launch(run: RunFolder) -> _Launch | None:
    record = run.read_record()
    with suppress(IndexError, msgspec.ValidationError):
        return None if record is None else msgspec.convert(record.launches[-1], _Launch)
    return None


def _conditions(run: RunFolder, launch: _Launch, wanted: Conditions) -> Conditions | None:
    """Those of a run; None where they are others, as is told without its spec, or that cannot be read."""
    data_fingerprint, num_processes = launch.data_fingerprints.train, launch.plan.num_processes
    if (data_fingerprint, num_processes) != (wanted.data_fingerprint, wanted.num_processes):
        return None
    values = _spec_values(run)
    if values is None:
        return None
    return Conditions.of(values, data_fingerprint=data_fingerprint, num_processes=num_processes)


def _spec_values(run: RunFolder) -> dict[str, Any] | None:
    source = str(run.spec_file)
    with suppress(SpecError):
        spec = validate_layers([Layer(source, parse_spec(run.read_spec(), source=source))]).spec
        return spec.model_dump(mode="json")
    return None


def _times_of(run: RunFolder, launch: _Launch, plan: Plan) -> Iterator[KnownTime]:
    seconds = _step_seconds(run, after=launch.first_step + 1)  # the first step of a launch takes longer
    largest = launch.largest_step
    if len(seconds) >= FEWEST_STEPS:
        mean = float(seconds.mean())
        steps = f"{counted(len(seconds), 'step')} of {run.path} took {mean:.3g} s each on average"
        time = RunTime(3600 * hours_of(mean, plan), f"{steps}, on {launch.device} of {launch.host}")
        yield KnownTime(time, Kind.STEPS_OF_A_RUN, launch.host, launch.started)
    elif largest is not None:
        step = f"{largest.canvas} with {counted(largest.num_pictures, 'picture')} on each process"
        basis = (
            f"the largest step, {step}, took {largest.seconds:.3g} s where {run.path} tried it, on "
            f"{launch.device} of {launch.host}, without waits for data"
        )
        time = RunTime(3600 * hours_of(largest.seconds, plan), basis, is_most=True)
        yield KnownTime(time, Kind.LARGEST_STEP, launch.host, launch.started)


def _step_seconds(run: RunFolder, *, after: int) -> NDArray[np.float64]:
    """Of all steps behind one, waits for data included."""
    with suppress(OutputError):
        history = read_history(run.metrics_file) if run.metrics_file.is_file() else None
        if history is not None:
            seconds = history.step_seconds[history.steps > after]
            return seconds[np.isfinite(seconds)]
    return np.zeros(0)
