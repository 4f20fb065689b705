"""Trainings by several recipes from random weights, each in the same processor time, over several seeds.

    python -m tests.benchmarks.recipes FOLDER --seeds 0 1 2 --minutes 6
    python -m tests.benchmarks.recipes FOLDER --data TRAIN.json VAL.json IMAGES

The detector is the demo's small one, on its built-in pictures or on others. How many epochs of each recipe
fit is told by the first steps of all of them, one recipe after the other, before anything is trained
(``FOLDER/epochs.json``; nothing else should compute meanwhile). Results go to ``FOLDER/results.jsonl`` as
they come, and what is there is not trained again: it can be ended, and goes on. Every run keeps an average
of the weights, which is evaluated beside them.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch

import hrdet_cli as hrdet

from .apart import run_apart
from .reporting import show_table

JITTER: Mapping[str, object] = {
    "augmentation": {
        "kind": "scale-jitter",
        "edge_pixels": 320,
        "scale_range": [0.1, 2.0],
        "flip_probability": 0.5,
    },
}
ONE_CANVAS: Mapping[str, object] = {"padding": {"policy": "fixed", "canvas_pixels": [320, 320]}}
BUCKETS: Mapping[str, object] = {"padding": {"policy": "canvases"}}
NORMS: Mapping[str, object] = {
    "model.neck.norm": "batch",
    "model.head.rpn.num_convs": 2,
    "model.head.roi_head.num_convs": 4,
    "model.head.roi_head.norm": "batch",
    "model.head.roi_head.num_hidden_layers": 1,
}
ADAMW: Mapping[str, object] = {
    "optimisation.optimiser.kind": "adamw",
    "optimisation.schedule.kind": "cosine",
    "optimisation.base_learning_rate": 0.001,
    "optimisation.weight_decay": 0.05,
    "optimisation.parameter_groups": {
        "backbone": {"learning_rate_factor": 1},
        "norm": {"weight_decay_factor": 0},
        "bias": {"weight_decay_factor": 0},
    },
}
RECIPES: Mapping[str, Mapping[str, object]] = {
    "mstrain-pad": {},
    "jitter": {**JITTER, **ONE_CANVAS},
    "bucketed": {**JITTER, **BUCKETS},
    "bucketed, norms": {**JITTER, **BUCKETS, **NORMS},
    "bucketed, norms, AdamW": {**JITTER, **BUCKETS, **NORMS, **ADAMW},
    "mstrain-pad, norms": NORMS,
    "mstrain-pad, AdamW": ADAMW,
    "mstrain-pad, anchors of 8 strides": {"model.head.rpn.anchor_scale": 8},
    "mstrain-pad, anchors that fit": {"model.head.rpn.anchor_scale": "auto"},
    "mstrain-pad, anchors that fit by level": {"model.head.rpn.anchor_scale": "auto-by-level"},
}
EVERYWHERE = {"optimisation.ema": {"decay": 0.995}, "data.num_workers": 0, "run.num_pictured_batches": 0}
DROPS = (4 / 8, 5 / 8, 6 / 8, 7 / 8)
"""Parts of a run after which the demo's rate falls, where it falls in steps."""
_NUM_PILOT_EPOCHS, _NUM_PILOT_STEPS, _NUM_COLD_STEPS = 4, 40, 4


@dataclass(frozen=True)
class Result:
    """Of a run: box AP of its weights and of their average, and what it took."""

    recipe: str
    seed: int
    num_epochs: int
    cpu_minutes: float
    ap: float
    averaged_ap: float


@dataclass(frozen=True)
class Run:
    """A training to make.

    Attributes:
        recipe: Of `RECIPES`.
        seed: Of the run.
        folder: Where it goes, into one of its own.
        data: COCO files to train on and to evaluate on, and their pictures; None for the demo's.
    """

    recipe: str
    seed: int
    folder: Path
    data: Sequence[str] | None

    def epochs_in(self, cpu_minutes: float) -> int:
        """How many epochs fit, by the processor time of the first steps."""
        times: list[float] = []
        num_steps: list[int] = []

        def note(event: hrdet.Event) -> None:
            if isinstance(event, hrdet.RunStarted):
                num_steps.append(event.num_steps)
            if isinstance(event, hrdet.StepReport):
                times.append(time.process_time())

        self._train(
            "pilot", _NUM_PILOT_EPOCHS, on_event=note, stop_asked=lambda: len(times) == _NUM_PILOT_STEPS
        )
        seconds_of_step = (times[-1] - times[_NUM_COLD_STEPS]) / (len(times) - 1 - _NUM_COLD_STEPS)
        return max(2, round(60 * cpu_minutes * _NUM_PILOT_EPOCHS / (seconds_of_step * num_steps[0])))

    def train(self, num_epochs: int) -> Result:
        """Make it."""
        started = time.process_time()
        finished = self._train(f"{self.recipe}-{self.seed}", num_epochs)
        cpu_minutes = (time.process_time() - started) / 60
        if not isinstance(finished, hrdet.RunFinished):
            raise SystemExit("stopped")
        best = finished.best
        return Result(self.recipe, self.seed, num_epochs, cpu_minutes, best["raw"], best["ema"])

    def _train(self, name: str, num_epochs: int, **listeners: Any) -> hrdet.RunFinished | hrdet.RunStopped:
        torch.set_num_threads(1)
        settings: dict[str, object] = {
            "run.seed": self.seed,
            "optimisation.num_epochs": num_epochs,
            "optimisation.schedule.drop_epochs": sorted({max(1, round(part * num_epochs)) for part in DROPS}),
            "evaluation.every_num_epochs": num_epochs,
        }
        data: dict[str, Any] = {}
        if self.data is not None:
            train, val, images = self.data
            data = {"train_data": (train, images), "val_data": (val, images)}
        return hrdet.train(
            "demo",
            settings={**settings, **EVERYWHERE, **RECIPES[self.recipe]},
            run_dir=self.folder / name,
            overwrite=True,
            **data,
            **listeners,
        )


def main() -> None:
    """Train what is missing, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--data", nargs=3, metavar=("TRAIN", "VAL", "IMAGES"), help="two COCO files, pictures"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=6.0, help="processor time of a run")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    epochs_of = _epochs_of(arguments.recipes, arguments)
    file = arguments.folder / "results.jsonl"
    done = list(_read(file))
    for seed in arguments.seeds:
        for recipe in arguments.recipes:
            if any((result.recipe, result.seed) == (recipe, seed) for result in done):
                continue
            run = Run(recipe, seed, arguments.folder, arguments.data)
            done.append(run_apart(run.train, epochs_of[recipe]))
            with file.open("a", encoding="utf-8") as results:
                results.write(json.dumps(asdict(done[-1])) + "\n")
    show_table(
        f"Box AP after {arguments.minutes:g} minutes of processor time from random weights",
        ["recipe", "runs", "epochs", "CPU minutes", "AP", "least to most", "of the average", "least to most"],
        list(_rows(done)),
    )


def _epochs_of(recipes: Sequence[str], arguments: argparse.Namespace) -> Mapping[str, int]:
    """How many epochs of each recipe to train."""
    file = arguments.folder / "epochs.json"
    known: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for recipe in recipes:
        if recipe not in known:
            pilot = Run(recipe, arguments.seeds[0], arguments.folder, arguments.data)
            known[recipe] = run_apart(pilot.epochs_in, arguments.minutes)
    file.write_text(json.dumps(known, indent=2), encoding="utf-8")
    return known


def _read(file: Path) -> Iterator[Result]:
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            yield Result(**json.loads(line))


def _rows(results: Sequence[Result]) -> Iterator[list[str]]:
    for recipe in RECIPES:
        if runs := [result for result in results if result.recipe == recipe]:
            aps, averaged = [run.ap for run in runs], [run.averaged_ap for run in runs]
            minutes = mean(run.cpu_minutes for run in runs)
            yield [
                recipe,
                str(len(runs)),
                str(runs[0].num_epochs),
                f"{minutes:.1f}",
                *_spread(aps),
                *_spread(averaged),
            ]


def _spread(values: Sequence[float]) -> tuple[str, str]:
    return f"{mean(values):.3f}", f"{min(values):.3f} to {max(values):.3f}"


if __name__ == "__main__":
    main()
