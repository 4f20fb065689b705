"""The user's command on hosts: started as it stands, awaited by what it writes, and compared."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.distributed.hosts import Host
from tests.forked import ForkedHrdet

SETTINGS = [
    "data.demo={seed: 1, num_train_images: 12, num_val_images: 4}",
    "data.root=data",
    "augmentation.scales_pixels=[[160, 128], [128, 96]]",
    "padding.canvas_pixels=[160, 128]",
    "optimisation.base_learning_rate=0.01",
    "optimisation.parameter_groups.backbone.learning_rate_factor=1",
    "optimisation.num_epochs=2",
    "optimisation.schedule.drop_epochs=[1]",
    "optimisation.schedule.drop_factor=0.1",
    "optimisation.warmup_steps=3",
    "evaluation.scale_pixels=[160, 128]",
    "evaluation.every_num_epochs=2",
    "run.checkpoint_every_epochs=1",
    "run.log_every_steps=1",
    "run.num_pictured_batches=0",
    "run.device=cpu",
    "run.precision=float64",
]
"""The demo preset at a size that trains in seconds, in a precision that shows whether two runs are the same.

In float32, sums over processes round otherwise than sums in one process; a proposal near a threshold is then
sampled in one run and not in the other, and the runs drift apart.  In float64 no such flip was ever seen.
The learning rate is a gentle one: at four times the rate rounding grows threefold with every step.
"""

NUM_STEPS, NUM_STEPS_PER_EPOCH = 12, 6
"""Of the run above with two pictures a step."""

RELATIVE_ERROR = 1e-10
"""Of final weights, to the largest of a tensor: about 1e5 times what float64 rounds off in each step."""

PATIENCE_SECONDS = 120.0


def settings(*more: str, batch_size: int = 1) -> list[str]:
    """Options of the small experiment, with so many pictures in a process's batch."""
    chosen = [*SETTINGS, f"data.batch_size_per_process={batch_size}", *more]
    return ["--preset", "demo", *(word for setting in chosen for word in ("--set", setting))]


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was started on a host.

    Attributes:
        process: The launcher, or the process that does the work alone.
        terminal: What it printed.
    """

    host: Host
    process: subprocess.Popen[str] | ForkedHrdet
    terminal: Path

    def printed(self) -> str:
        """All it has printed so far."""
        return self.terminal.read_text(encoding="utf-8")

    def wait(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.host.hostname} still runs; it printed:\n{self.printed()}") from None

    def await_text(self, text: str) -> None:
        """Return once it has printed a text."""
        await_condition(lambda: text in self.printed(), [self], what=f"'{text}' of {self.host.hostname}")


def start_hrdet(
    host: Host,
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    with_tiny_network: bool = True,
) -> Command:
    """Run ``hrdet ARGUMENTS`` on a host.

    Args:
        host: Where to.
        arguments: As the user gives them.
        folder: The current folder there; made when missing.  Hosts with the same one share a disk.
        environment: Variables on top of those of this process.
        with_tiny_network: Whether it has `tests.tiny_network`; what `start_program` starts has not.
    """
    terminal = _terminal_on(host, folder)
    process = host.start_hrdet(
        *arguments,
        folder=folder,
        environment={**os.environ, **(environment or {})},
        log=terminal,
        with_tiny_network=with_tiny_network,
    )
    return Command(host, process, terminal)


def start_program(
    host: Host, *arguments: str, folder: Path, environment: Mapping[str, str] | None = None
) -> Command:
    """Run ``python ARGUMENTS`` on a host, as `start_hrdet` does."""
    terminal = _terminal_on(host, folder)
    process = host.start(
        sys.executable, *arguments, cwd=folder, env={**os.environ, **(environment or {})}, log=terminal
    )
    return Command(host, process, terminal)


def _terminal_on(host: Host, folder: Path) -> Path:
    """An empty file there for what a command prints."""
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob(f"terminal-of-{host.hostname}-*")))
    terminal = folder / f"terminal-of-{host.hostname}-{number}"
    terminal.touch()
    return terminal


def slurm_step(rank: int) -> dict[str, str]:
    """The variables of a process of a step of Slurm's with one on each of two hosts."""
    return {
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
        "SLURM_STEP_NODELIST": "host[1-2]",
        "SLURM_NODEID": str(rank),
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": "0",
        "MASTER_ADDR": "host1.test",
    }


def finish(*commands: Command) -> None:
    """Wait for commands that have to end well."""
    for command in commands:
        assert command.wait() == 0, command.printed()


def await_condition(condition: Callable[[], bool], commands: Sequence[Command], *, what: str) -> None:
    """Return once something has come about; commands that end before have failed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        ended = [command for command in commands if command.process.poll() is not None]
        if (ended and not condition()) or time.monotonic() > deadline:
            printed = "\n".join(f"{c.host.hostname}:\n{c.printed()}" for c in commands)
            raise AssertionError(f"waited in vain for {what}; printed was\n{printed}")
        time.sleep(0.02)


def await_step(run: Path, step: int, *commands: Command) -> None:
    """Return once a step is in a run's metrics."""
    await_condition(lambda: step in steps_of(run), commands, what=f"step {step}")


def metric_lines(run: Path) -> list[dict[str, Any]]:
    """The metrics that were written whole."""
    file = run / "metrics.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def steps_of(run: Path) -> list[int]:
    """Steps in a run's metrics, in their order."""
    return [line["step"] for line in metric_lines(run) if line["kind"] == "step"]


def launches_of(run: Path) -> list[dict[str, Any]]:
    """What ``run.json`` says of each launch."""
    launches: list[dict[str, Any]] = json.loads((run / "run.json").read_text(encoding="utf-8"))["launches"]
    return launches


def checkpoint_of(run: Path) -> dict[str, Any]:
    """A run's last checkpoint."""
    state: dict[str, Any] = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    return state


def assert_same_training(run: Path, expected: Path) -> None:
    """Two runs ended with the same weights and running statistics, and logged the same steps once each."""
    assert steps_of(run) == steps_of(expected)
    weights, wanted = checkpoint_of(run)["model"], checkpoint_of(expected)["model"]
    assert weights.keys() == wanted.keys()
    errors = {name: relative_error(weights[name], wanted[name]) for name in wanted}
    worst = max(errors, key=lambda name: errors[name])
    assert errors[worst] < RELATIVE_ERROR, f"{worst} is off by {errors[worst]:.1e}"


def relative_error(value: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return float((value - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))
