"""Going on with a run: with its own spec, on its own data."""

from typing import Any

from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import is_within, leaves
from hrdet_cli.specs.loading import format_spec
from hrdet_cli.specs.yaml_text import parse_yaml

MAY_CHANGE = (
    "data.batch_size_per_process",
    "data.demo",
    "data.num_workers",
    "data.root",
    "data.train",
    "data.val",
    "evaluation",
    "optimisation.num_epochs",
    "run.checkpoint_every_epochs",
    "run.device",
    "run.log_every_steps",
    "run.num_pictured_batches",
)
"""Keys that a resumed run may change: none decides what a step computes, but for another device's rounding.

Data may have moved; that it is the same is told by its fingerprint.  With another number of processes the
pictures of a process may change so that a step has as many as before.
"""


def check_same_spec(spec: ExperimentSpec, folder: RunFolder) -> None:
    """The spec must be the one the run began with, but for what may change.

    Raises:
        SpecError: Something would change that a resumed run must keep.
        OutputError: There is no run in the folder.
    """
    folder.require()
    saved = parse_yaml(folder.spec_file.read_text(encoding="utf-8"), source=str(folder.spec_file))
    wanted = parse_yaml(format_spec(spec), source="the resumed spec")
    problems = [
        f"{key}: is {value!r} in {folder.spec_file}, but {_value_at(wanted, key)!r} was asked for; "
        "a resumed run keeps it, so leave it or start a new run with another --run-dir"
        for key, value in leaves(saved)
        if _value_at(wanted, key) != value and not is_within(key, MAY_CHANGE)
    ]
    if problems:
        raise SpecError(problems)


def _value_at(values: Any, key: str) -> Any:
    """What a dotted key has, be it a section; None where a section on the way is switched off."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def saved_batch_size(folder: RunFolder) -> int:
    """Pictures in each process's step of the run in a folder."""
    saved = parse_yaml(folder.spec_file.read_text(encoding="utf-8"), source=str(folder.spec_file))
    return int(saved["data"]["batch_size_per_process"])


def check_same_data(plan: Plan, folder: RunFolder) -> None:
    """The annotation files must be those the run began with.

    Raises:
        DataError: One was changed since.
    """
    launches = folder.launches()
    if not launches:
        return
    began_with = launches[0].get("data_fingerprints", {})
    for part, counts in (("train", plan.train), ("val", plan.val)):
        if counts.fingerprint != began_with.get(part):
            raise DataError(
                f"{counts.annotations}: was changed since {folder.path} began; "
                "put the old file back to go on exactly, or start a new run"
            )
