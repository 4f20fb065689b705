"""Signals for a training run at any moment, once or twice.

Counted as lost: a run that was told to stop and has no checkpoint of the last step in metrics.jsonl, unless a
second signal made it leave at once.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.errors import WeightsError
from tests.faults.commands import Command, faults_of, leftovers, random_moment
from tests.faults.tiny_runs import Reference, in_one_and_two_processes, new_trial, train_command
from tests.faults.trials import CRASH, LOST, Outcome, Request, run_and_exit

NUM_TRIALS = 60
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_SECONDS_TO_STOP = 90


def signals(request: Request) -> Iterator[Outcome]:
    """One process and two, one signal and two, in turns."""
    return in_one_and_two_processes(request, _trial)


def _trial(index: int, request: Request, reference: Reference, num_processes: int) -> Outcome:
    rng, folder = request.rng(index), new_trial(request.folder / "trial", reference)
    number, is_twice = _SIGNALS[index // 2 % len(_SIGNALS)], rng.random() < 0.3
    moment = random_moment(rng, reference.seconds)
    command = Command(train_command(num_processes), folder)
    command.sleep(moment)
    command.send(number)
    if is_twice:
        command.sleep(rng.uniform(0, 1))
        command.send(number)
    done = command.finish(_SECONDS_TO_STOP)
    what = f"{number.name}{' twice' if is_twice else ''} after {moment:.2f} s, {num_processes} processes"
    faults = faults_of(done, codes=[0, 128 + number, -number])
    if done.exit_code == -number and (folder / "run" / "metrics.jsonl").exists():
        faults[CRASH] = f"killed by {number.name} instead of ending with {128 + number}"
    faults |= command.faults()
    faults |= leftovers(folder / "run")
    if not is_twice and done.exit_code == 128 + number and (lost := _lost(folder / "run")):
        faults[LOST] = lost
    return Outcome(index, what, str(done.exit_code), faults)


def _lost(run: Path) -> str | None:
    """Steps that were made and are in no checkpoint."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.is_file() else []
    steps = [line["step"] for line in map(json.loads, lines) if line["kind"] == "step"]
    if not steps:
        return None
    try:
        saved = load_checkpoint(run / "checkpoints" / "last.pt")["step"]
    except WeightsError as error:
        return str(error)
    return None if saved == max(steps) else f"step {max(steps)} was made, the checkpoint is of step {saved}"


if __name__ == "__main__":
    run_and_exit({"signals": signals}, num_trials={"signals": NUM_TRIALS})
