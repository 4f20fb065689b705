"""What a tracker is, and which ones there are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, cast

from hrdet_cli.errors import SpecError
from hrdet_cli.extras import install_command

ENTRY_POINT_GROUP = "hrdet_cli.trackers"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """What a tracker is told of a run before its first line.

    Attributes:
        name: Of the run.
        folder: Of the tracker's own, below the run's; it may not be there yet. What is in it is kept when
            the run goes on, so a tracker that keeps its record elsewhere keeps its name here.
        spec_text: The resolved spec as YAML.
        settings: Its keys with their values, such as ``data.num_workers`` with 2.
        first_step: The last step that is on record; 0 for a new run.
    """

    name: str
    folder: Path
    spec_text: str
    settings: Mapping[str, Any]
    first_step: int


class Tracker(Protocol):
    """A record of a run that somebody else's program keeps. Only one thread uses it."""

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """Take in finite numbers by name, such as ``train/loss`` and ``val/box/AP``."""

    def add_picture(self, name: str, file: Path, step: int) -> None:
        """Take in a PNG, which is on the disk and may be replaced later."""

    def close(self, *, has_failed: bool) -> None:
        """Have all that was taken in where it belongs; whether an error ended the run."""


OpenTracker = Callable[[TrackedRun], Tracker]
"""What an entry point of the group names; it raises what it likes where a run cannot be tracked."""


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    """A tracker of hrdet's own: the module here that has its ``open_tracker``, and the package it needs."""

    module: str
    package: str


_BUILT_IN = {
    "tensorboard": _BuiltIn("tensorboard_tracker", "tensorboard"),
    "wandb": _BuiltIn("wandb_tracker", "wandb"),
    "mlflow": _BuiltIn("mlflow_tracker", "mlflow"),
}


def require_trackers(names: Sequence[str]) -> None:
    """All that are asked for must be there; nothing of them is imported.

    Args:
        names: ``run.trackers``.

    Raises:
        SpecError: One is unknown or not installed; says how to install it.
    """
    known = {*_BUILT_IN, *_others()}
    problems = []
    for name in names:
        if name not in known:
            problems.append(f"run.trackers: there is no tracker {name!r}, but {', '.join(sorted(known))}")
        elif name in _BUILT_IN and find_spec(_BUILT_IN[name].package) is None:
            problems.append(
                f"run.trackers: {name} needs a package that is not installed; install it with: "
                f"{install_command(name)}"
            )
    if problems:
        raise SpecError(problems)


def opener_of(name: str) -> OpenTracker:
    """What opens a tracker that :func:`require_trackers` found; importing it waits until it is called."""
    return partial(_open, name)


def _open(name: str, run: TrackedRun) -> Tracker:
    if name in _BUILT_IN:
        module = import_module(f"{__package__}.{_BUILT_IN[name].module}")
        opener = cast("OpenTracker", module.open_tracker)
    else:
        opener = cast("OpenTracker", _others()[name].load())
    return opener(run)


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}


def scalars_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of ``metrics.jsonl``, by names whose parts are joined by slashes.

    Those of steps begin with ``train/``, those of evaluations with ``val/``, or ``val-ema/`` where an average
    of the weights was evaluated.  What is no number is left out.
    """
    prefix = "train" if line["kind"] == "step" else "val" if line["weights"] == "raw" else "val-ema"
    return dict(_numbers(line, prefix))


def _numbers(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}/{key}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and key != "step":
            yield f"{prefix}/{key}", float(value)
