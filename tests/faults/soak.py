"""A long run of two processes, watched from outside: does anything grow?

Usage: python -m tests.faults.soak [--steps 1500]

A tiny detector trains, evaluates and saves for many short epochs.  Meanwhile memory, descriptors, threads and
shared memory of each of the run's processes are read from ``/proc``.  What counts is the least that a process
had in each of three parts of the run, since everything that leaks raises the least.  Exit code 1: something
grew.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.reporting import show_table

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - it is looked at, not written to
STEPS_PER_EPOCH = 75
SECONDS_BETWEEN_SAMPLES = 0.25
PARTS = {"start": (0.15, 0.3), "middle": (0.45, 0.6), "end": (0.85, 1.0)}
"""Shares of the run; before the first there are two epochs, in which caches fill."""
ALLOWED_GROWTH = {"memory": 16 * 2**20, "descriptors": 0, "threads": 0, "shared memory": 0}
"""From the start to the end.  Memory in bytes: the allocator's fragments come and go."""

SETTINGS = (
    f"data.demo={{seed: 1, num_train_images: {2 * STEPS_PER_EPOCH}, num_val_images: 2}}",
    "data.batch_size_per_process=1",
    "data.num_workers=1",
    "augmentation.scales_pixels=[[96, 64]]",
    "padding.canvas_pixels=[96, 64]",
    "optimisation.base_learning_rate=0.001",
    "optimisation.schedule.drop_epochs=[]",
    "model.head.roi_head.num_samples=16",
    "evaluation.scale_pixels=[96, 64]",
    "evaluation.every_num_epochs=1",
    "run.num_pictured_batches=0",
    "run.device=cpu",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one of the run's processes had at a moment.

    Attributes:
        pid: The process.
        role: ``launcher``, ``rank 0``, ... or ``data worker of rank 0``.
        step: Of the run, at that moment.
        figures: By their names in `ALLOWED_GROWTH`; memory is resident and not shared, both in bytes.
    """

    pid: int
    role: str
    step: int
    figures: Mapping[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    num_steps = parser.parse_args().steps
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hrdet-soak-") as root:
        samples, exit_code, printed = run_and_watch(Path(root), num_steps)
    if exit_code != 0:
        sys.exit(f"the run ended with {exit_code}:\n{printed}")
    table = summarise(samples, num_steps)
    problems = growths(table) + left_in_shared_memory({sample.pid for sample in samples})
    show_table(
        f"{num_steps} steps of two processes in {time.monotonic() - started:.0f} s: the least in each part",
        ["process", "figure", *PARTS],
        [
            [role, name, *(show(name, values[part]) for part in PARTS)]
            for (role, name), values in table.items()
        ],
        notes=problems or ["everything is flat"],
    )
    sys.exit(1 if problems else 0)


def run_and_watch(root: Path, num_steps: int) -> tuple[list[Sample], int, str]:
    """Train in a group of processes of its own, which ends with this function.

    Returns:
        Samples, the launcher's exit code, and what it printed.
    """
    run = root / "run"
    epochs = -(-num_steps // STEPS_PER_EPOCH)
    settings = [*SETTINGS, f"data.root={root / 'data'}", f"optimisation.num_epochs={epochs}"]
    options = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-X", "faulthandler", "-m", "hrdet_cli", "train", "--preset", "demo", *options]
    samples: list[Sample] = []
    with (root / "printed").open("w+") as printed:
        launcher = subprocess.Popen(
            [*command, "--processes-per-node", "2", "--run-dir", str(run)],
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while launcher.poll() is None:
                step = last_step(run / "metrics.jsonl")
                samples.extend(sample_of(pid, role, step) for pid, role in processes_of(launcher.pid))
                time.sleep(SECONDS_BETWEEN_SAMPLES)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
        printed.seek(0)
        whole = [sample for sample in samples if sample.figures]
        return whole, launcher.returncode, printed.read()


def last_step(metrics: Path) -> int:
    """The last step in a run's metrics, 0 before there is one."""
    if not metrics.is_file():
        return 0
    with metrics.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        documents = [json.loads(line) for line in file.read().split(b"\n")[1:-1]]
    return max((int(document["step"]) for document in documents if document["kind"] == "step"), default=0)


def processes_of(launcher: int) -> Iterator[tuple[int, str]]:
    """The launcher and all that descend from it, with their roles."""
    yield launcher, "launcher"
    for worker in children_of(launcher):
        rank = variable_of(worker, "RANK")
        if rank is None:  # not started whole, or a helper of the launcher
            continue
        yield worker, f"rank {rank}"
        for child in children_of(worker):
            yield child, f"data worker of rank {rank}"


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def variable_of(pid: int, name: str) -> str | None:
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0"):
            if entry.startswith(f"{name}="):
                return entry.partition("=")[2]
    return None


def sample_of(pid: int, role: str, step: int) -> Sample:
    """A sample; without figures where the process has ended meanwhile."""
    try:
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
        )
        if "RssAnon" not in status:  # it has ended and was not waited for yet
            return Sample(pid, role, step, {})
        figures = {
            "memory": int(status["RssAnon"].split()[0]) * 1024,
            "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
            "threads": int(status["Threads"]),
            "shared memory": shared_bytes_of(pid),
        }
    except OSError:
        return Sample(pid, role, step, {})
    return Sample(pid, role, step, figures)


def shared_bytes_of(pid: int) -> int:
    """Of mapped files of ``/dev/shm``."""
    num_bytes = 0
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if f"{SHARED_MEMORY}/" in line:
            start, _, end = line.split()[0].partition("-")
            num_bytes += int(end, 16) - int(start, 16)
    return num_bytes


def summarise(samples: Sequence[Sample], num_steps: int) -> dict[tuple[str, str], dict[str, int]]:
    """The least of each figure of each role in each part of the run, for the roles seen in all parts."""
    table: dict[tuple[str, str], dict[str, int]] = {}
    for role in sorted({sample.role for sample in samples}):
        for name in ALLOWED_GROWTH:
            values = {
                part: [
                    sample.figures[name]
                    for sample in samples
                    if sample.role == role and first * num_steps <= sample.step <= last * num_steps
                ]
                for part, (first, last) in PARTS.items()
            }
            if all(values.values()):
                table[role, name] = {part: min(found) for part, found in values.items()}
    return table


def growths(table: Mapping[tuple[str, str], Mapping[str, int]]) -> list[str]:
    """What grew by more than is allowed, in words.

    Raises:
        ValueError: A process is missing.
    """
    roles = {role for role, _ in table}
    missing = {"launcher", "rank 0", "rank 1"} - roles
    if missing:
        raise ValueError(f"nothing was seen of {sorted(missing)} in some part of the run")
    return [
        f"{role}: {name} grew from {show(name, values['start'])} to {show(name, values['end'])}"
        for (role, name), values in table.items()
        if values["end"] - values["start"] > ALLOWED_GROWTH[name]
    ]


def left_in_shared_memory(pids: set[int]) -> list[str]:
    """Files that these processes left in ``/dev/shm``, which torch names by process id."""
    folder = Path(SHARED_MEMORY)
    names = [path.name for path in folder.glob("torch_*")]
    return [f"left in {folder}: {name}" for name in names if name.split("_")[1] in map(str, pids)]


def show(name: str, value: int) -> str:
    return f"{value / 2**20:.1f} MiB" if "memory" in name else str(value)


if __name__ == "__main__":
    main()
