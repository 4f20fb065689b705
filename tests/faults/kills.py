"""SIGKILL for a training run at any moment; the same command then goes on to the end.

Counted as lost: final weights that are not those of an unbroken run to the bit, and steps that metrics.jsonl
lacks or has twice.
"""

from collections.abc import Iterator

from tests.faults.commands import Command, faults_of, leftovers, random_moment, run
from tests.faults.tiny_runs import (
    Reference,
    difference,
    in_one_and_two_processes,
    new_trial,
    train_command,
)
from tests.faults.trials import ACCEPTED, LOST, Outcome, Request, run_and_exit

NUM_TRIALS = 100


def kills(request: Request) -> Iterator[Outcome]:
    """Every second trial has two processes."""
    return in_one_and_two_processes(request, _trial)


def _trial(index: int, request: Request, reference: Reference, num_processes: int) -> Outcome:
    rng, folder = request.rng(index), new_trial(request.folder / "trial", reference)
    moment = random_moment(rng, reference.seconds)
    arguments = train_command(num_processes, "--auto-resume")
    command = Command(arguments, folder)
    command.sleep(moment)
    command.kill_all()
    what = f"killed after {moment:.2f} s, {num_processes} processes"
    done = run(arguments, folder, seconds=180)
    faults = faults_of(done)
    faults |= command.faults()
    faults |= leftovers(folder / "run")
    if not faults and (lost := difference(folder / "run", reference.run)):
        faults[LOST] = lost
    return Outcome(index, what, ACCEPTED, faults)


if __name__ == "__main__":
    run_and_exit({"kills": kills}, num_trials={"kills": NUM_TRIALS})
