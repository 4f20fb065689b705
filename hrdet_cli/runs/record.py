"""What ``run.json`` says of a launch: who ran what, where, on which code and data."""

import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hrdet_cli.runs.plan import LargestStep, Plan
from hrdet_cli.runs.versions import installed_versions


def describe_launch(
    plan: Plan,
    *,
    seed: int,
    device: str,
    precision: str,
    kernels: str,
    first_step: int,
    hosts: Sequence[str],
    launch_id: str | None,
    largest_step: LargestStep | None,
) -> dict[str, Any]:
    """The entry of a launch that starts now, in plain types."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "host": platform.node(),
        "hosts_by_rank": list(hosts),
        "launch_id": launch_id,
        "versions": installed_versions(),
        "git": _git_state(),
        "seed": seed,
        "device": device,
        "precision": precision,
        "kernels": kernels,
        "first_step": first_step,
        "data_fingerprints": {
            "train": plan.train.fingerprint,
            "val": None if plan.val is None else plan.val.fingerprint,
        },
        "plan": plan.to_json(),
        "largest_step": None if largest_step is None else largest_step.to_json(),
    }


def _git_state() -> dict[str, Any] | None:
    """Commit of the checkout hrdet runs from and whether it was changed; None outside a checkout."""
    folder = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]  # a fixed command on our own folder
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    if not (folder / ".git").exists():
        return None
    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
