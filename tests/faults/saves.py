"""The n-th system call of saving a checkpoint fails, or is the last: ENOSPC, EIO, SIGKILL, by strace.

Counted as lost: afterwards there is no readable checkpoint, neither the old nor the new.
"""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.faults.commands import Command, faults_of, leftovers
from tests.faults.tiny_runs import (
    NUM_EPOCHS,
    Reference,
    make_reference,
    new_trial,
    readable_checkpoints,
    train_command,
)
from tests.faults.trials import LOST, Outcome, Request, run_and_exit

NUM_TRIALS = 60
_CALLS = "openat,write,fsync,fdatasync,rename,renameat,renameat2,close,unlink,ftruncate"
_FAILURES = ("error=ENOSPC", "error=EIO", "signal=SIGKILL")
_MORE = ("--resume", "--set", f"optimisation.num_epochs={NUM_EPOCHS + 1}")


def saves(request: Request) -> Iterator[Outcome]:
    """A finished run goes on for an epoch; each trial breaks one call on the files of its checkpoints."""
    if shutil.which("strace") is None:
        raise RuntimeError("saves needs strace; install it")
    reference = make_reference(request.folder / "reference", 1)
    num_calls = _count_calls(request.folder / "trial", reference)
    for index in request.indices:
        rng, folder = request.rng(index), new_trial(request.folder / "trial", reference, with_run=True)
        call, failure = rng.choice(sorted(num_calls)), rng.choice(_FAILURES)
        when = rng.randint(1, num_calls[call])
        inject = ["-e", f"inject={call}:{failure}:when={when}"]
        command = Command(train_command(1, *_MORE), folder, before=[*_strace(folder), *inject])
        done = command.finish(180)
        is_killed = failure == "signal=SIGKILL"
        faults = {} if is_killed and done.exit_code == -signal.SIGKILL else faults_of(done, codes=[0, 5])
        faults |= command.faults()
        if not is_killed:
            faults |= leftovers(folder / "run")
        if not readable_checkpoints(folder / "run", ["last.pt"]):
            faults[LOST] = "last.pt is neither the old nor the new checkpoint"
        yield Outcome(index, f"{call} {when} of {num_calls[call]}: {failure}", str(done.exit_code), faults)


def _strace(folder: Path) -> list[str]:
    """Follow the calls on the checkpoints and what they are written beside, and no others."""
    checkpoints = folder / "run" / "checkpoints"
    names = [f"{name}{end}" for name in ("last.pt", "best.pt") for end in ("", ".partial", ".tmp")]
    paths = [word for path in (checkpoints, *map(checkpoints.joinpath, names)) for word in ("-P", str(path))]
    return ["strace", "-f", "-qq", "-o", str(folder / "calls.txt"), *paths, "-e", f"trace={_CALLS}"]


def _count_calls(folder: Path, reference: Reference) -> dict[str, int]:
    """How often each call is made on these files when nothing fails."""
    trial = new_trial(folder, reference, with_run=True)
    done = Command(train_command(1, *_MORE), trial, before=_strace(trial)).finish(300)
    if done.exit_code != 0:
        raise RuntimeError(f"strace or the run failed: {done.stderr}")
    names = re.findall(r"^\d+ +(\w+)\(", (trial / "calls.txt").read_text(), flags=re.MULTILINE)
    return {name: names.count(name) for name in set(names)}


if __name__ == "__main__":
    run_and_exit({"saves": saves}, num_trials={"saves": NUM_TRIALS})
