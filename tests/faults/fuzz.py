"""Broken input of each kind, given to the readers of hrdet in one process: ``python -m tests.faults.fuzz``.

Trials run in a child, which has a limit of memory; each has a limit of time.  What it means that input was
accepted rightly is the business of each kind: its cases come with an oracle of their own.
"""

import importlib
import multiprocessing
import os
import random
import re
import resource
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Protocol

from hrdet_cli.cli.failures import error_lines
from hrdet_cli.errors import HrdetError
from tests.faults.trials import (
    ACCEPTED,
    ANSWERED,
    CRASH,
    HANG,
    SILENT,
    TRACEBACK,
    UNCLEAR,
    Outcome,
    Request,
    Runner,
    run_and_exit,
)

KINDS = ("annotations", "data_sets", "pictures", "archives", "specs", "weights")
NUM_TRIALS = 2000
SECONDS_A_TRIAL = 20
_EXTRA_BYTES = 4 * 2**30  # above what the child has when it starts
_NUM_TRIALS_A_CHILD = 500
_WORDS_OF_LIBRARIES = re.compile(
    r"Input should|valid tuple|object at 0x|could not determine|not enough values to unpack|invalid literal|"
    r"unhashable|NoneType|has no attribute|codec can't|list index"
)
_MOST_MESSAGE_LINES, _MOST_MESSAGE_CHARACTERS = 40, 8000


@dataclass(frozen=True, slots=True)
class Case:
    """One broken input.

    Attributes:
        what: What was done to it.
        named: What a clear message must contain one of, such as the file's name.
        attempt: Gives it to hrdet; says what is wrong with what came out, None where all is right.
    """

    what: str
    named: Sequence[str]
    attempt: Callable[[], str | None]


class Kind(Protocol):
    """Makes cases of a kind."""

    def __init__(self, folder: Path) -> None:
        """Make what is whole, in a folder."""

    def case(self, rng: random.Random) -> Case:
        """Break it."""


class TimeLimitError(BaseException):
    """A trial takes too long; no ``except Exception`` holds it up."""


def judge(index: int, case: Case) -> Outcome:
    """Carry a case out in this process."""
    signal.signal(signal.SIGALRM, _raise_time_limit)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_A_TRIAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = case.attempt()
    except HrdetError as error:
        unclear = describe_unclear(error, case.named)
        return Outcome(index, case.what, ANSWERED, {UNCLEAR: unclear} if unclear else {})
    except TimeLimitError:
        return Outcome(index, case.what, "", {HANG: f"over {SECONDS_A_TRIAL} s"})
    except (Exception, SystemExit) as error:
        return Outcome(index, case.what, "", {TRACEBACK: f"{_place_of(error)}: {error!r:.200}"})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Outcome(index, case.what, ACCEPTED, {SILENT: wrong} if wrong else {})


def describe_unclear(error: HrdetError, named: Sequence[str]) -> str | None:
    """What keeps a message from being clear."""
    text = str(error)
    lines = error_lines(error)
    if not text.strip() or type(error) is HrdetError:
        return "no message"
    if len(lines) > _MOST_MESSAGE_LINES or len(text) > _MOST_MESSAGE_CHARACTERS:
        return f"{len(lines)} lines, {len(text)} characters"
    if not any(name in text for name in named):
        return f"names none of {', '.join(named)}: {text!r:.200}"
    if found := _WORDS_OF_LIBRARIES.search(text):
        return f"words of a library: {found[0]}"
    if not all(line.isprintable() for line in lines):
        return f"unprintable: {text!r:.200}"
    return None


def _raise_time_limit(_number: int, _frame: FrameType | None) -> None:
    raise TimeLimitError


def _place_of(error: BaseException) -> str:
    """The last line of hrdet that an exception went through."""
    trace, place = error.__traceback__, "outside hrdet"
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if "hrdet_cli" in file:
            place = f"{file.rpartition('hrdet_cli/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def make_kind(name: str, folder: Path) -> Kind:
    """The maker of cases of a kind; only its own module is imported."""
    module = importlib.import_module(f"tests.faults.fuzzed_{name}")
    kind: Kind = module.Fuzzed(folder)
    return kind


def _work(request: Request, kind_name: str, connection: Connection) -> None:
    """In the child: send the number of each trial when it begins, and its outcome."""
    kind = make_kind(kind_name, request.folder)
    num_pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = num_pages * os.sysconf("SC_PAGE_SIZE") + _EXTRA_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for index in request.indices:
        case = kind.case(request.rng(index))
        connection.send((index, case.what))
        connection.send(judge(index, case))


def fuzz(kind_name: str, request: Request) -> Iterator[Outcome]:
    """Trials of a kind, in children that may die of them."""
    left = list(request.indices)
    while left:
        batch = Request(request.name, request.seed, left[:_NUM_TRIALS_A_CHILD], request.folder)
        done = yield from _run_child(kind_name, batch)
        left = left[done:]


def _run_child(kind_name: str, request: Request) -> Generator[Outcome, None, int]:
    """Trials of one child; how many it did before its end."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(request, kind_name, sending), daemon=True)
    child.start()
    sending.close()
    begun: tuple[int, str] | None = None
    num_done, fault = 0, None
    while num_done < len(request.indices) and fault is None:
        try:
            if not receiving.poll(SECONDS_A_TRIAL + 10 if begun else 120):
                fault = {HANG: "inside a library"}
                continue
            message = receiving.recv()
        except EOFError:
            child.join()
            fault = {CRASH: f"exit code {child.exitcode}"}
            continue
        if isinstance(message, Outcome):
            num_done, begun = num_done + 1, None
            yield message
        else:
            begun = message
    child.kill()
    child.join()
    if fault is not None and begun is None:
        raise RuntimeError(f"the child of {request.name} ended outside a trial: {fault}")
    if fault is not None and begun is not None:
        num_done += 1
        yield Outcome(*begun, "", fault)
    return num_done


RUNNERS: dict[str, Runner] = {f"fuzz.{kind}": partial(fuzz, kind) for kind in KINDS}

if __name__ == "__main__":
    run_and_exit(RUNNERS, num_trials=dict.fromkeys(RUNNERS, NUM_TRIALS))
