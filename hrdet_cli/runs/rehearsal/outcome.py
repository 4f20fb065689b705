"""What a rehearsal planned beside what happened in the run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import msgspec

from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord


@dataclass(frozen=True, slots=True)
class Outcome:
    """One figure.

    Attributes:
        what: Its name.
        planned: By the rehearsal, in words.
        happened: In the run, in words.
    """

    what: str
    planned: str
    happened: str


class _Step(msgspec.Struct):
    total: float
    gradients: float | None


class _Modelled(msgspec.Struct):
    step_seconds: _Step
    hours: float


class _Plan(msgspec.Struct):
    num_processes: int
    num_steps: int


class _Computing(msgspec.Struct):
    peak_memory_bytes: int


class _Checkpoints(msgspec.Struct):
    num_bytes: int


class Planned(msgspec.Struct):
    """What of a rehearsal is compared."""

    plan: _Plan
    modelled: Annotated[list[_Modelled], msgspec.Meta(min_length=1)]
    computing: _Computing
    checkpoints: _Checkpoints


def read_planned(folder: RunFolder) -> Planned | None:
    """The rehearsal in a run folder; None where there is none that can be read."""
    try:
        return msgspec.json.decode(folder.rehearsal_file.read_bytes(), type=Planned)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def compare_with_run(
    planned: Planned,
    record: RunRecord | None,
    *,
    step_seconds: Sequence[float],
    peak_memory_bytes: int,
) -> tuple[Outcome, ...]:
    """Planned figures and those of the steps that were made.

    Args:
        planned: What `read_planned` gives.
        record: Of the run; None where nobody says.
        step_seconds: Of every step so far; at least one.
        peak_memory_bytes: The most that was used.
    """
    return tuple(_outcomes(planned, record, step_seconds, peak_memory_bytes))


def _outcomes(
    planned: Planned, record: RunRecord | None, step_seconds: Sequence[float], peak_memory_bytes: int
) -> Iterator[Outcome]:
    plan = planned.plan
    launched = record.launches[-1].get("plan", {}) if record is not None and record.launches else {}
    num_processes = launched.get("num_processes")
    if num_processes is not None:
        yield Outcome("processes", str(plan.num_processes), str(num_processes))
    yield Outcome("steps", f"{plan.num_steps:,}", f"{len(step_seconds):,} so far")
    steps = [modelled.step_seconds for modelled in planned.modelled]
    at_least = "at least " if any(step.gradients is None for step in steps) else ""
    yield Outcome(
        "seconds of a step",
        at_least + _range([step.total for step in steps], "{:.3f}"),
        f"{median(step_seconds):.3f} (median)",
    )
    yield Outcome(
        "hours",
        at_least + _range([modelled.hours for modelled in planned.modelled], "{:.2f}"),
        f"{sum(step_seconds) / 3600:.2f} in steps so far",
    )
    yield Outcome(
        "memory of a process",
        f"{planned.computing.peak_memory_bytes / 2**30:.1f} GiB",
        f"{peak_memory_bytes / 2**30:.1f} GiB",
    )
    checkpoint = None if record is None else record.slowest_checkpoint
    if checkpoint is not None:
        yield Outcome(
            "a checkpoint",
            f"{planned.checkpoints.num_bytes / 2**20:.0f} MiB",
            f"{checkpoint.num_bytes / 2**20:.0f} MiB, written in {checkpoint.seconds:.1f} s at most",
        )


def _range(values: Sequence[float], form: str) -> str:
    """The smallest to the largest of several networks, or the only one."""
    least, most = (form.format(value) for value in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"
