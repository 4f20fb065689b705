"""Damaged files of a finished run: evaluating it and going on with it must notice, or give the right result.

The result of ``eval`` is detections.json, byte for byte; that of ``train --resume`` for one more epoch is the
weights and the steps in metrics.jsonl.  Counted as silent: another result, exit code 0, and the damaged file
is named on no screen.  Not tried: one whole checkpoint in the place of another that is evaluated, which
nobody can tell, and a changed number in a line of metrics.jsonl, which no result depends on.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from tests.faults.commands import Command, faults_of, leftovers
from tests.faults.mutation import BYTE_CHANGES, damage
from tests.faults.tiny_runs import NUM_EPOCHS, difference, make_reference, new_trial, train_command
from tests.faults.trials import ACCEPTED, ANSWERED, SILENT, Outcome, Request, run_and_exit

NUM_TRIALS = 100
_LONGER = f"optimisation.num_epochs={NUM_EPOCHS + 1}"
_COMMANDS = {
    "eval": ["eval", "run"],
    "resume": train_command(1, "--resume", "--set", _LONGER),
    "resume by its own spec": ["train", "--resume", "--run-dir", "run", "--set", _LONGER],
}
_FILES_OF = {
    "eval": ("checkpoints/best.pt",),
    "resume": ("checkpoints/last.pt", "metrics.jsonl", "run.json", "spec.yaml"),
    "resume by its own spec": ("checkpoints/last.pt", "run.json", "spec.yaml"),
}
_SWAPS = (
    ("checkpoints/last.pt", "checkpoints/epoch-001.pt"),
    ("run.json", "spec.yaml"),
    ("metrics.jsonl", "run.json"),
)
_DETECTIONS = "eval-best/detections.json"


def corruption(request: Request) -> Iterator[Outcome]:
    """Each trial damages one file, or exchanges two."""
    reference = make_reference(request.folder / "reference", 1)
    expected = {}
    for name, arguments in _COMMANDS.items():
        expected[name] = new_trial(request.folder / f"expected {name}", reference, with_run=True) / "run"
        done = Command(arguments, expected[name].parent).finish(300)
        if done.exit_code != 0:
            raise RuntimeError(f"{name} of an undamaged run failed: {done.stderr}")
    for index in request.indices:
        rng, folder = request.rng(index), new_trial(request.folder / "trial", reference, with_run=True)
        name = rng.choice(list(_COMMANDS))
        what, file = _damage(rng, folder / "run", name)
        command = Command(_COMMANDS[name], folder)
        done = command.finish(180)
        faults = {**faults_of(done, codes=[0, 2, 3, 4, 5]), **command.faults(), **leftovers(folder / "run")}
        if not faults and done.exit_code == 0 and Path(file).name not in done.stdout + done.stderr:
            differs = _difference(folder / "run", expected[name], name)
            faults |= {SILENT: differs} if differs else {}
        yield Outcome(index, f"{name}: {what}", ACCEPTED if done.exit_code == 0 else ANSWERED, faults)


def _damage(rng: random.Random, run: Path, name: str) -> tuple[str, str]:
    """What was done, and to which file."""
    if name != "eval" and rng.random() < 0.15:
        one, two = rng.choice(_SWAPS)
        first, second = (run / one).read_bytes(), (run / two).read_bytes()
        (run / one).write_bytes(second)
        (run / two).write_bytes(first)
        return f"{one} and {two} exchanged", one
    file = rng.choice(_FILES_OF[name])
    what, damaged = damage(rng, (run / file).read_bytes(), BYTE_CHANGES)
    (run / file).write_bytes(damaged)
    return f"{file}: {what}", file


def _difference(run: Path, expected: Path, name: str) -> str | None:
    if name != "eval":
        return difference(run, expected, num_epochs=NUM_EPOCHS + 1)
    is_same = (run / _DETECTIONS).read_bytes() == (expected / _DETECTIONS).read_bytes()
    return None if is_same else "other detections"


if __name__ == "__main__":
    run_and_exit({"corruption": corruption}, num_trials={"corruption": NUM_TRIALS})
