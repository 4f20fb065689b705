"""What ``run.json`` says of a launch: who ran what, where, on which code and data."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hrdet_cli.runs.build.numerics import precision_name
from hrdet_cli.runs.device import kernels_of
from hrdet_cli.runs.plan import LargestStep
from hrdet_cli.runs.preparation.launch import Launch
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.runs.versions import installed_versions


def describe_launch(run: TrainingRun, launch: Launch, largest_step: LargestStep | None) -> dict[str, Any]:
    """The entry of a launch that starts now, in plain types."""
    plan = run.plan
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "host": platform.node(),
        "hosts_by_rank": list(launch.hosts),
        "launch_id": launch.launch_id,
        "versions": installed_versions(),
        "git": _git_state(),
        "seed": run.spec.run.seed,
        "device": str(run.device),
        "precision": precision_name(run.spec.run, run.device),
        "kernels": kernels_of(run.device),
        "first_step": run.trainer.step,
        "data_fingerprints": {
            "train": plan.train.fingerprint,
            "val": None if plan.val is None else plan.val.fingerprint,
        },
        "plan": plan.to_json(),
        "largest_step": None if largest_step is None else largest_step.to_json(),
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout hrdet runs from and whether it was changed; None outside a checkout."""
    folder = Path(__file__).parents[3]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]  # a fixed command on our own folder
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    if not (folder / ".git").exists():
        return None
    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
