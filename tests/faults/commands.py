"""``hrdet`` in processes of its own: started, killed with all it started, and searched for what it left."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.trials import CRASH, HANG, LEFTOVERS, ORPHANS, TRACEBACK, UNCLEAR
from tests.process_ids import is_running

EXIT_CODES = (*range(10), 130, 143)
"""Those that ``hrdet --help`` lists; 128 + n for other signals is a trial's own business."""
_MARK = "HRDET_FAULTS_TRIAL"
_SECONDS_TO_END = 15


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended.

    Attributes:
        exit_code: Negative where a signal killed it; None where it ran past its time and was killed for it.
    """

    exit_code: int | None
    stdout: str
    stderr: str


class Command:
    """A running ``hrdet``, in a process group and with a folder for temporary files of its own.

    Args:
        arguments: After ``hrdet``.
        folder: The trial's; the command runs there.
        before: What starts Python, such as strace and its options.
    """

    def __init__(self, arguments: Sequence[str], folder: Path, *, before: Sequence[str] = ()) -> None:
        self._temporary = folder / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self._mark = f"{_MARK}={folder}"
        self._files = [folder / "stdout.txt", folder / "stderr.txt"]
        name, _, value = self._mark.partition("=")
        environment = {**os.environ, name: value, "TMPDIR": str(self._temporary), "OMP_NUM_THREADS": "1"}
        with self._files[0].open("wb") as out, self._files[1].open("wb") as errors:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-m", "hrdet_cli", *arguments],
                cwd=folder,
                env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the command runs."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command alone, as a scheduler does."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    def kill_all(self) -> None:
        """SIGKILL for the command and everything that it started, all at once."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()

    def processes(self) -> list[int]:
        """Ids of all processes of the trial, by a mark in their environment."""
        return list(_marked(self._mark.encode()))

    def finish(self, seconds: float) -> Finished:
        """Wait for the end; past the time everything is killed."""
        try:
            code: int | None = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill_all()
            code = None
        out, errors = (file.read_text("utf-8", errors="replace") for file in self._files)
        return Finished(code, out, errors)

    def faults(self) -> dict[str, str]:
        """Processes and temporary files that outlived the command; the processes are killed."""
        deadline = time.monotonic() + _SECONDS_TO_END
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        faults = {ORPHANS: f"{len(left)} processes"} if left else {}
        self.kill_all()
        if files := [path.name for path in self._temporary.iterdir() if path.name.startswith("hrdet")]:
            faults[LEFTOVERS] = f"in TMPDIR: {', '.join(files)}"
        return faults


def _marked(mark: bytes) -> Iterable[int]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            process = int(folder.name)
            if is_running(process) and mark in (folder / "environ").read_bytes().split(b"\0"):
                yield process


def run(arguments: Sequence[str], folder: Path, *, seconds: float = 120) -> Finished:
    """Run ``hrdet`` to its end."""
    return Command(arguments, folder).finish(seconds)


def faults_of(finished: Finished, *, codes: Iterable[int] = EXIT_CODES) -> dict[str, str]:
    """What is wrong with an end, whatever it was the end of."""
    if finished.exit_code is None:
        return {HANG: f"killed after its time; stderr ends {finished.stderr[-100:]!r}"}
    for text in (finished.stderr, finished.stdout):
        if "Traceback (most recent call last)" in text:
            return {TRACEBACK: text.strip().rpartition("\n")[2][:200]}
    if finished.exit_code not in codes:
        return {CRASH: f"exit code {finished.exit_code}; stderr ends {finished.stderr[-100:]!r}"}
    by_signal = finished.exit_code < 0 or finished.exit_code > 128
    has_message = "error: " in finished.stderr or finished.exit_code == 0 or by_signal
    if not has_message or finished.stderr.count("error: ") > 1:
        return {UNCLEAR: f"exit code {finished.exit_code} with stderr {finished.stderr[:200]!r}"}
    return {}


def leftovers(run_folder: Path) -> dict[str, str]:
    """Partly written files in a run folder."""
    files = [path.name for path in run_folder.rglob("*") if path.suffix in (".tmp", ".partial")]
    return {LEFTOVERS: ", ".join(files)} if files else {}


def random_moment(rng: random.Random, seconds: float) -> float:
    """A moment of a command that takes that long: half of them in its first third."""
    return rng.uniform(0, seconds / 3) if rng.random() < 0.5 else rng.uniform(0, seconds)
