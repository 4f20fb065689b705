"""Runs the parts of a check, each in a process of its own, and writes what they say into one file."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_MOST_CHARACTERS = 20_000
"""Of what a part that failed has written; the last ones say why."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A command whose output belongs into the report.

    Attributes:
        title: Its heading.
        command: Program and arguments.
        seconds: It is ended after so many.
    """

    title: str
    command: Sequence[str]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a part.

    Attributes:
        part: What was run.
        output: What it wrote; of one that failed, to stderr too.
        seconds: It took.
        failure: What went wrong; empty if nothing did.
    """

    part: Part
    output: str
    seconds: float
    failure: str

    def to_markdown(self) -> str:
        """A section."""
        state = self.failure or "done"
        command = " ".join(self.part.command)
        return (
            f"## {self.part.title}\n\n{state}, {self.seconds:.0f} s: `{command}`\n\n"
            f"```\n{self.output.strip()}\n```\n"
        )


def run_part(part: Part) -> Outcome:
    """Run a part to its end, or until its time is over."""
    started = time.perf_counter()
    try:
        done = subprocess.run(part.command, capture_output=True, text=True, timeout=part.seconds, check=False)
    except subprocess.TimeoutExpired as over:
        output = "\n".join(_text(stream) for stream in (over.stdout, over.stderr))
        failure = f"ended after {part.seconds:g} s"
    except OSError as error:
        output, failure = str(error), "could not be started"
    else:
        output = done.stdout if done.returncode == 0 else f"{done.stdout}\n{done.stderr}"
        failure = "" if done.returncode == 0 else f"exit code {done.returncode}"
    return Outcome(
        part=part,
        output=output[-_MOST_CHARACTERS:] if failure else output,
        seconds=time.perf_counter() - started,
        failure=failure,
    )


def _text(stream: bytes | str | None) -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""


def write_report(path: Path, machine: str, outcomes: Sequence[Outcome]) -> None:
    """Write what there is so far."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sections = "\n".join(outcome.to_markdown() for outcome in outcomes)
    path.write_text(f"# GPU check\n\n{machine}\n\n{sections}", encoding="utf-8")
