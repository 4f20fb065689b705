"""What all runners share: trials by number, what became of them, and the table of it."""

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

ANSWERED = "answered"
"""Refused with an error of hrdet: its exit code and a clear message."""
ACCEPTED = "accepted"
"""Went through; rightly so where the trial has no fault."""

SILENT = "silent"
"""Accepted, though the content is wrong or the result is another one, without a word."""
UNCLEAR = "unclear"
"""Answered, but the message is empty, too long, unprintable, or does not name what is wrong."""
TRACEBACK = "traceback"
"""Ended with an exception that is none of ``hrdet_cli.errors``."""
HANG = "hang"
CRASH = "crash"
"""The interpreter died of a signal that nobody sent."""
LOST = "lost"
"""Work is gone that was done: weights, steps, checkpoints."""
ORPHANS = "orphans"
"""Processes outlived the command."""
LEFTOVERS = "leftovers"
"""Temporary files or folders outlived the command."""
FAULTS = (SILENT, UNCLEAR, TRACEBACK, HANG, CRASH, LOST, ORPHANS, LEFTOVERS)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    Attributes:
        index: The trial's number.
        what: What was done to hrdet.
        ended: ``answered``, ``accepted``, or another word for the way it ended.
        faults: A detail for each kind of fault that was found; empty where all is well.
    """

    index: int
    what: str
    ended: str
    faults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """Which trials to run.

    Attributes:
        name: The runner's, such as ``kills`` or ``fuzz.specs``.
        seed: Every trial is a function of it.
        indices: The trials' numbers.
        folder: For the trials' files; it is removed afterwards.
    """

    name: str
    seed: int
    indices: Sequence[int]
    folder: Path

    def rng(self, index: int) -> random.Random:
        """The random numbers of a trial, whichever trials ran before it."""
        return random.Random(f"{self.name}/{self.seed}/{index}")


Runner = Callable[[Request], Iterator[Outcome]]


def carry_out(runner: Runner, request: Request) -> list[Outcome]:
    """Run trials; tells of each fault, and how to see it again, as soon as it is found."""
    outcomes = []
    for outcome in runner(request):
        outcomes.append(outcome)
        for fault, detail in outcome.faults.items():
            print(f"{request.name} {outcome.index}: {outcome.what}: {fault}: {detail}", flush=True)  # noqa: T201 - for whoever waits
    return outcomes


def draw_table(outcomes_by_name: Mapping[str, Sequence[Outcome]]) -> Table:
    """A row for each runner: how its trials ended, and how many had which fault."""
    ends = sorted({outcome.ended for outcomes in outcomes_by_name.values() for outcome in outcomes})
    table = Table("runner", "trials", *ends, *FAULTS, title="faults")
    for name, outcomes in outcomes_by_name.items():
        ended = Counter(outcome.ended for outcome in outcomes)
        found = Counter(fault for outcome in outcomes for fault in outcome.faults)
        counts = [ended[end] for end in ends] + [found[fault] for fault in FAULTS]
        table.add_row(name, str(len(outcomes)), *map(str, counts))
    return table


def has_faults(outcomes_by_name: Mapping[str, Sequence[Outcome]]) -> bool:
    """Whether any trial has a fault."""
    return any(outcome.faults for outcomes in outcomes_by_name.values() for outcome in outcomes)


def run_and_exit(
    runners: Mapping[str, Runner], *, num_trials: Mapping[str, int], arguments: Sequence[str] | None = None
) -> None:
    """The command line of one or several runners: a table at the end, exit code 1 where there is a fault.

    Args:
        runners: By name, in their order.
        num_trials: How many each has unless ``--trials`` says otherwise.
        arguments: Instead of the command line's.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(runners)}; default all")
    parser.add_argument("--trials", type=int, help="of each runner")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="number of the one trial to repeat")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(runners):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    found: dict[str, list[Outcome]] = {}
    for name in options.names or runners:
        count = num_trials[name] if options.trials is None else options.trials
        indices = range(count) if options.only is None else [options.only]
        with tempfile.TemporaryDirectory(prefix="hrdet-faults-") as folder:
            found[name] = carry_out(runners[name], Request(name, options.seed, indices, Path(folder)))
    Console(width=None if sys.stdout.isatty() else 160).print(draw_table(found))
    sys.exit(1 if has_faults(found) else 0)
