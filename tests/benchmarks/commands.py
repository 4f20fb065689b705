"""Whole commands of two checkouts in turn, from start to end: processor time and seconds of each.

    git worktree add ../before COMMIT
    python -m tests.benchmarks.commands --before ../before

A training counts up to the line of its first step.  The run that is predicted with and evaluated is an epoch
of the demo, trained by the earlier checkout, and the same for both.  What is evaluated on is drawn by the
demo's generator.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from hrdet_cli.engine.data.synthetic import make_demo_data

from .reporting import show_table

OURS = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cost:
    """Of a command, and of the processes that it starts."""

    cpu_seconds: float
    seconds: float


@dataclass(frozen=True)
class Checkout:
    """A state of the code, and the interpreter that has what it imports."""

    name: str
    folder: Path
    python: str

    def run(self, *arguments: str | Path, until: Path | None = None) -> Cost:
        """Run ``hrdet`` with arguments.

        Args:
            arguments: Of the command line.
            until: A file; the command is killed as soon as there is something in it.

        Raises:
            RuntimeError: The command failed.
        """
        command = [self.python, "-m", "hrdet_cli", *map(str, arguments)]
        with tempfile.TemporaryFile() as said:
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"},
            )
            is_killed = until is not None and _wait_for(until, process.pid)
            if is_killed:
                process.kill()
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode and not is_killed:
                said.seek(0)
                raise RuntimeError(f"{' '.join(command)}:\n{said.read().decode()}")
        return Cost(used.ru_utime + used.ru_stime, seconds)


def _wait_for(file: Path, process_id: int) -> bool:
    """Wait until there is something in a file, or the process has ended; whether there is."""
    while not (file.exists() and file.stat().st_size):
        ended = os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            return False
        time.sleep(0.005)
    return True


Command = Callable[[Checkout], Cost]


@dataclass(frozen=True)
class Commands:
    """What is measured, in a folder that holds ``run``, ``data`` and ``picture``."""

    folder: Path

    @classmethod
    def prepare(cls, folder: Path, trains: Checkout, *, num_pictures: int) -> "Commands":
        """Draw the data and train the run."""
        commands = cls(folder)
        make_demo_data(folder / "data", seed=1, num_train_images=4, num_val_images=num_pictures)
        with zipfile.ZipFile(folder / "data/images.zip") as archive:
            name = next(name for name in archive.namelist() if name.endswith(".jpg"))
            (folder / "picture.jpg").write_bytes(archive.read(name))
        trains.run(*commands._train("run"), "--set", "optimisation.num_epochs=1")
        return commands

    def _train(self, run: str) -> list[str]:
        settings = (f"data.root={self.folder / 'demo-data'}", "evaluation.every_num_epochs=0")
        sets = [word for setting in settings for word in ("--set", setting)]
        return ["train", "--preset", "demo", "--run-dir", str(self.folder / run), *sets]

    def __call__(self) -> Mapping[str, Command]:
        """By what it is called on the command line."""
        return {
            "help": lambda checkout: checkout.run("--help"),
            "predict": self.predict,
            "first-step": self.make_first_step,
            "first-step-and-data": self.draw_and_make_first_step,
            "eval": self.evaluate,
        }

    def predict(self, checkout: Checkout) -> Cost:
        """Predict in one picture."""
        return checkout.run(
            "predict", self.folder / "run", self.folder / "picture.jpg", "--out", self.folder / "predicted"
        )

    def make_first_step(self, checkout: Checkout) -> Cost:
        """Train the demo up to its first step, its data being there."""
        shutil.rmtree(self.folder / "begun", ignore_errors=True)
        return checkout.run(*self._train("begun"), until=self.folder / "begun/metrics.jsonl")

    def draw_and_make_first_step(self, checkout: Checkout) -> Cost:
        """Likewise, its data not being there."""
        shutil.rmtree(self.folder / "demo-data")
        return self.make_first_step(checkout)

    def evaluate(self, checkout: Checkout) -> Cost:
        """Evaluate, on pictures that are not the run's."""
        data = [self.folder / "data" / name for name in ("val.json", "images.zip")]
        return checkout.run(
            "eval", self.folder / "run", "--val-data", *data, "--out", self._results_of(checkout)
        )

    def _results_of(self, checkout: Checkout) -> Path:
        return self.folder / f"evaluated-{checkout.name}"

    def compare_results(self, before: Checkout, after: Checkout) -> list[str]:
        """What an evaluation of each has found, beside the other; nothing where none was made."""
        folders = [self._results_of(checkout) for checkout in (before, after)]
        if not all(folder.exists() for folder in folders):
            return []
        numbers = [json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in folders]
        found = [(folder / "detections.json").read_bytes() for folder in folders]
        aps = [document.get("box", document)["AP"] for document in numbers]
        return [
            f"box AP {aps[0]:.6f} before and {aps[1]:.6f} now; "
            f"detections.json {'is' if found[0] == found[1] else 'is not'} the same to the byte"
        ]


def main() -> None:
    """Print a row for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("commands", nargs="*", help=", ".join(Commands(Path())()))
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the code before")
    parser.add_argument("--before-python", default=sys.executable, help="interpreter with what it imports")
    parser.add_argument("--pictures", type=int, default=1000, help="to evaluate on")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    before = Checkout("before", arguments.before.resolve(), arguments.before_python)
    after = Checkout("now", OURS, sys.executable)
    with tempfile.TemporaryDirectory() as scratch:
        commands = Commands.prepare(Path(scratch), before, num_pictures=arguments.pictures)
        known = commands()
        rows = []
        for name in arguments.commands or known:
            pairs = [(known[name](before), known[name](after)) for _ in range(arguments.rounds)]
            rows += compare(name, pairs)
        notes = commands.compare_results(before, after)
    show_table(
        f"hrdet, medians of {arguments.rounds} in turn, {arguments.pictures} pictures evaluated on",
        ["", "before", "now", "ratio"],
        rows,
        notes=notes,
    )


def compare(name: str, pairs: Sequence[tuple[Cost, Cost]]) -> list[list[str]]:
    """Rows of both kinds of seconds, their medians and the median ratio."""
    rows = []
    for what, kind in (("CPU seconds", "cpu_seconds"), ("seconds", "seconds")):
        values = [(getattr(before, kind), getattr(now, kind)) for before, now in pairs]
        old, new = (median(column) for column in zip(*values, strict=True))
        ratio = median(now / before for before, now in values)
        rows.append([f"{name}, {what}", f"{old:.2f}", f"{new:.2f}", f"{ratio:.2f}"])
    return rows


if __name__ == "__main__":
    main()
