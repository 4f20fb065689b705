"""Memory of one training step at hrnet-w18-mstrain-pad's canvas of 1600x1024, each in a process of its own.

The step is the real one: loader, detector and trainer, with pictures that fill the canvas and have 500 boxes
each. What counts is the highest resident memory of the process less what its imports alone take.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from hrdet_cli.engine.training.reports import peak_memory_bytes
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.loading import load_spec

from .apart import run_apart
from .pictures import ANNOTATIONS, FOLDER, write_pictures
from .reporting import show_table

PRESET = "hrnet-w18-mstrain-pad"
NUM_BOXES = 500
GOAL_GIB = 16
"""Of a step with one picture."""
SIZES_GIB = (24, 80)
"""For which the number of pictures that fit is told."""


@dataclass(frozen=True)
class Case:
    """A step to measure."""

    num_pictures: int
    activation_checkpointing: bool

    def __str__(self) -> str:
        pictures = "1 picture" if self.num_pictures == 1 else f"{self.num_pictures} pictures"
        return pictures + (", activation checkpointing" if self.activation_checkpointing else "")


@dataclass(frozen=True)
class Cost:
    """What a step took."""

    gib: float
    seconds: float


ONE, ONE_RECOMPUTED, TWO, TWO_RECOMPUTED = Case(1, False), Case(1, True), Case(2, False), Case(2, True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        write_pictures(Path(root), count=2, height=400, width=640, num_boxes=NUM_BOXES)
        costs = {case: run_apart(measure, root, case, arguments.threads) for case in (ONE, ONE_RECOMPUTED)}
        notes = []
        if 2 * costs[ONE].gib < available_gib():
            costs |= {
                case: run_apart(measure, root, case, arguments.threads) for case in (TWO, TWO_RECOMPUTED)
            }
            notes.append(describe_growth(costs[ONE].gib, costs[TWO].gib))
            notes.append(
                f"With checkpointing: {describe_growth(costs[ONE_RECOMPUTED].gib, costs[TWO_RECOMPUTED].gib)}"
            )
        else:
            notes.append(f"2 pictures were left out: there are only {available_gib():.1f} GiB.")
    show_table(
        f"Memory of a training step, {PRESET}, 1600x1024, {NUM_BOXES} boxes a picture, float32, "
        f"{arguments.threads} threads",
        ["", "GiB", "seconds", "goal"],
        [
            [str(case), f"{cost.gib:.1f}", f"{cost.seconds:.1f}", f"< {GOAL_GIB} GiB" if case == ONE else ""]
            for case, cost in costs.items()
        ],
        notes=notes,
    )


def describe_growth(gib_of_one: float, gib_of_two: float) -> str:
    """What a picture more takes, and how many pictures so fit."""
    growth = gib_of_two - gib_of_one
    fitting = " and ".join(f"{gib} GiB hold {1 + int((gib - gib_of_one) / growth)}" for gib in SIZES_GIB)
    return f"Each picture more takes {growth:.2f} GiB, so {fitting}."


def measure(root: str, case: Case, num_threads: int) -> Cost:
    """Make the first training step of a run in this process."""
    device = torch.device("cpu")
    imported_bytes = peak_memory_bytes(device)
    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    spec = load_spec(
        preset=PRESET,
        settings=[
            "model.weights=null",
            f"model.activation_checkpointing={str(case.activation_checkpointing).lower()}",
            f"data.root={root}",
            f"data.train={{annotations: {ANNOTATIONS}, images: {FOLDER}}}",
            f"data.batch_size_per_process={case.num_pictures}",
            "data.num_workers=0",
            "augmentation.scales_pixels=[[1600, 1000]]",  # the largest of the preset's three
        ],
    ).spec
    part = open_part(spec.data, "train")
    detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
    loader = build_training_loader(spec, part, device)
    learning_rate = spec.optimisation.learning_rate_for(case.num_pictures)
    trainer = build_trainer(
        spec, detector, loader, device, learning_rate=learning_rate, stop_asked=lambda: False
    )
    report = next(trainer.train_epoch())
    return Cost(gib=(report.peak_memory_bytes - imported_bytes) / 2**30, seconds=report.step_seconds)


def available_gib() -> float:
    """Memory that new processes can have."""
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return kib / 2**20


if __name__ == "__main__":
    main()
