"""A run of MLflow."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.tracking.tracker import TrackedRun

_DEFAULT_EXPERIMENT = "hrdet"


def open_tracker(run: TrackedRun) -> "MlflowTracker":
    """Begin a run, or go on with the one that is named in the tracker's folder."""
    return MlflowTracker(run)


class MlflowTracker:
    """See :class:`.tracker.Tracker`.

    Where the server is and how the experiment is called say MLflow's own environment variables.
    """

    def __init__(self, run: TrackedRun) -> None:
        self._client = MlflowClient()
        id_file = run.folder / "run-id"
        if id_file.is_file():
            self._run_id = id_file.read_text()
            self._client.update_run(self._run_id, status="RUNNING")
            return
        self._run_id = self._client.create_run(self._experiment_id(), run_name=run.name).info.run_id
        write_text(id_file, self._run_id)
        settings = [Param(key, str(value)) for key, value in run.settings.items()]
        for start in range(0, len(settings), 100):  # the most that a server takes at once
            self._client.log_batch(self._run_id, params=settings[start : start + 100])
        self._client.log_text(self._run_id, run.spec_text, "spec.yaml")

    def _experiment_id(self) -> str:
        if (own := os.environ.get("MLFLOW_EXPERIMENT_ID")) is not None:
            return own
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _DEFAULT_EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if known is None else known.experiment_id)

    def add_scalars(self, scalars: Mapping[str, float], step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in scalars.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def add_picture(self, name: str, file: Path, step: int) -> None:
        """See :class:`.tracker.Tracker`."""
        self._client.log_artifact(self._run_id, str(file), f"{name}/step-{step}")

    def close(self, *, has_failed: bool) -> None:
        """See :class:`.tracker.Tracker`."""
        self._client.set_terminated(self._run_id, "FAILED" if has_failed else "FINISHED")
