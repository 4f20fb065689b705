"""A run of Weights & Biases."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import wandb

from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.tracking.tracker import TrackedRun

_STEP = "step"


def open_tracker(run: TrackedRun) -> "WandbTracker":
    """Begin a run, or go on with the one that is named in the tracker's folder.

    Raises:
        RuntimeError: There is no key, which the package would ask for at the terminal.
    """
    mode = wandb.setup().settings.mode
    if mode == "online" and wandb.api.api_key is None:
        raise RuntimeError("has no API key: `wandb login`, or WANDB_MODE=offline")
    return WandbTracker(run)


class WandbTracker:
    """See :class:`.tracker.Tracker`.

    The project, the entity and all else come from the package's own environment variables.
    """

    def __init__(self, run: TrackedRun) -> None:
        id_file = run.folder / "run-id"
        if not id_file.is_file():
            write_text(id_file, secrets.token_hex(4))
        self._run = wandb.init(
            id=id_file.read_text(),
            name=run.name,
            dir=run.folder,
            config=dict(run.settings),
            resume="allow",
            settings=wandb.Settings(silent=True, console="off"),
        )
        # The package's own steps cannot go back, as those of a run do that goes on from a checkpoint.
        self._run.define_metric("*", step_metric=_STEP)

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        self._run.log({**scalars, _STEP: step})

    def add_picture(self, name: str, file: Path, step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        self._run.log({name: wandb.Image(str(file)), _STEP: step})

    def close(self, *, has_failed: bool) -> None:
        """See :class:`.tracker.Tracker`."""
        self._run.finish(exit_code=int(has_failed))
