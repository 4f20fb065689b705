"""What steps took under padding policies that were compared, as ``hrdet benchmark-pad --out`` wrote it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_time.conditions import Conditions
from hrdet_cli.runs.run_time.known_time import Kind, KnownTime, RunTime

COMPARISON_FILE = "padding.json"


class _Training(msgspec.Struct):
    hours_per_epoch: float


class _Policy(msgspec.Struct):
    name: str
    is_own: bool
    padding: dict[str, Any]
    training: _Training | None


class _Comparison(msgspec.Struct):
    """What is read of the file."""

    host: str
    device: str
    finished: str
    data_fingerprint: str
    num_processes: int
    spec: dict[str, Any]
    policies: list[_Policy]


def times_of_comparisons(wanted: Conditions, plan: Plan, folder: Path) -> Iterator[KnownTime]:
    """What a run takes by the steps of comparisons; arguments as of `times_of_runs`."""
    for file in sorted(folder.glob(f"*/{COMPARISON_FILE}")):
        comparison = _read(file)
        if comparison is None:
            continue
        for policy in comparison.policies:
            of_policy = {} if policy.is_own else {"padding": policy.padding}
            conditions = Conditions.of(
                comparison.spec | of_policy,
                data_fingerprint=comparison.data_fingerprint,
                num_processes=comparison.num_processes,
            )
            if policy.training is not None and conditions == wanted:
                yield _time_of(comparison, policy.name, policy.training.hours_per_epoch, file, plan)


def _read(file: Path) -> _Comparison | None:
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(file.read_bytes(), type=_Comparison)
    return None


def _time_of(comparison: _Comparison, policy: str, hours: float, file: Path, plan: Plan) -> KnownTime:
    num_epochs = plan.num_steps / plan.steps_per_epoch
    basis = (
        f"hrdet benchmark-pad measured {hours:.3g} h an epoch for padding {policy}, on "
        f"{comparison.device} of {comparison.host} ({file})"
    )
    if comparison.num_processes > 1:
        basis += ", without the messages between processes"
    time = RunTime(3600 * hours * num_epochs, basis)
    return KnownTime(time, Kind.COMPARISON, comparison.host, comparison.finished)
