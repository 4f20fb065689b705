"""A training run of seconds, unbroken ones to compare with, and the comparison."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from tests.faults.commands import run
from tests.faults.trials import Outcome, Request

NUM_EPOCHS, NUM_STEPS_AN_EPOCH = 2, 4
_SETTINGS = (
    "data.demo={seed: 1, num_train_images: 8, num_val_images: 2}",
    "data.root=data",
    "data.num_workers=1",
    "augmentation.scales_pixels=[[160, 128], [128, 96]]",
    "padding.canvas_pixels=[160, 128]",
    "model.neck.channels=16",
    "model.head.roi_head.hidden_features=16",
    "optimisation.base_learning_rate=0.01",
    f"optimisation.num_epochs={NUM_EPOCHS}",
    "optimisation.schedule.drop_epochs=[1]",
    "optimisation.warmup_steps=3",
    "evaluation.scale_pixels=[160, 128]",
    "evaluation.every_num_epochs=1",
    "run.checkpoint_every_epochs=1",
    "run.num_pictured_batches=1",
    "run.device=cpu",
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An unbroken run.

    Attributes:
        folder: Where it was made: ``run``, and ``data``, which others may copy.
        seconds: How long the command took.
    """

    folder: Path
    seconds: float

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"


def train_command(num_processes: int, *more: str) -> list[str]:
    """``train`` with the tiny spec, two pictures a step whatever the number of processes."""
    settings = [*_SETTINGS, f"data.batch_size_per_process={2 // num_processes}"]
    command = ["train", "--preset", "demo", *(word for text in settings for word in ("--set", text))]
    if num_processes > 1:
        command += ["--processes-per-node", str(num_processes)]
    return [*command, "--run-dir", "run", *more]


def make_reference(folder: Path, num_processes: int, *more: str) -> Reference:
    """Train without a break."""
    folder.mkdir()
    started = time.monotonic()
    done = run(train_command(num_processes, *more), folder, seconds=300)
    if done.exit_code != 0:
        raise RuntimeError(f"the unbroken run failed: {done.stderr}")
    return Reference(folder, time.monotonic() - started)


class References:
    """Unbroken runs by their number of processes, made when they are first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[int, Reference] = {}

    def of(self, num_processes: int) -> Reference:
        """That of so many processes."""
        if num_processes not in self._made:
            folder = self._folder / f"reference-{num_processes}"
            self._made[num_processes] = make_reference(folder, num_processes)
        return self._made[num_processes]


def in_one_and_two_processes(
    request: Request, trial: Callable[[int, Request, Reference, int], Outcome]
) -> Iterator[Outcome]:
    """Carry out trials, every second one with two processes; each gets the unbroken run of as many."""
    references = References(request.folder)
    for index in request.indices:
        num_processes = 1 + index % 2
        yield trial(index, request, references.of(num_processes), num_processes)


def new_trial(folder: Path, reference: Reference, *, with_run: bool = False) -> Path:
    """A folder with the reference's data, and its run where asked for."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("data", "run") if with_run else ("data",):
        shutil.copytree(reference.folder / name, folder / name)
    return folder


def difference(run_folder: Path, expected: Path, *, num_epochs: int = NUM_EPOCHS) -> str | None:
    """What a finished run has otherwise than an unbroken one, to the bit."""
    for name in ("last.pt", f"epoch-{num_epochs:03d}.pt"):
        try:
            found = load_checkpoint(run_folder / "checkpoints" / name)["model"]
            wanted = load_checkpoint(expected / "checkpoints" / name)["model"]
        except Exception as error:  # whatever it is, the checkpoint is lost
            return f"{name}: {error}"
        if found.keys() != wanted.keys():
            return f"{name}: has other tensors"
        differing = [key for key, value in wanted.items() if not torch.equal(found[key], value)]
        if differing:
            return f"{name}: {len(differing)} tensors differ, such as {differing[:1]}"
    return steps_difference(run_folder, num_steps=num_epochs * NUM_STEPS_AN_EPOCH)


def steps_difference(run_folder: Path, *, num_steps: int) -> str | None:
    """Steps that metrics.jsonl lacks or has twice."""
    try:
        lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        return f"metrics.jsonl: {error}"
    counts = Counter(line["step"] for line in lines if line["kind"] == "step")
    odd = [step for step in range(1, num_steps + 1) if counts[step] != 1]
    return f"metrics.jsonl: steps {odd} missing or double" if odd or len(counts) != num_steps else None


def readable_checkpoints(run_folder: Path, names: Sequence[str]) -> list[str]:
    """Which of the named checkpoints can be loaded."""
    found = []
    for name in names:
        try:
            load_checkpoint(run_folder / "checkpoints" / name)
        except Exception:  # noqa: S112 - an unreadable one is not in the answer
            continue
        found.append(name)
    return found
