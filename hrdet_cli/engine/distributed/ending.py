"""Why a node's workers ended, in words."""

import signal
from collections.abc import Iterable
from pathlib import Path

from torch.distributed.elastic.multiprocessing import ProcessFailure

from hrdet_cli.engine.distributed.worker import LaunchFolder, WorkerPlace
from hrdet_cli.errors import HrdetError, LostProcessError

_NUM_LAST_LINES = 12
_LINE_WIDTH = 160
_ENDED_BY_LAUNCHER = (-signal.SIGTERM, 128 + signal.SIGTERM)
"""Exit codes of workers that torch elastic ended because another one had failed."""


class WorkerError(HrdetError):
    """An error that a worker met; has its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def ending_of(failures: Iterable[ProcessFailure], folder: LaunchFolder, *, host: str) -> HrdetError:
    """The error to tell the user.

    In this order: an error of the run itself, which some worker met and told the others; a worker of this
    node that died without a word; what the survivors noticed of a death on another node.

    Args:
        failures: Workers that did not end well, as torch elastic has them.
        folder: With what they left behind.
        host: Name of this node.
    """
    outcomes = folder.outcomes()
    final = [outcome for outcome in outcomes if outcome.is_final]
    crashed = [
        failure
        for failure in failures
        if not folder.has_outcome(failure.local_rank) and failure.exitcode not in _ENDED_BY_LAUNCHER
    ]
    if crashed and not final:
        first = min(crashed, key=lambda failure: failure.timestamp)
        return LostProcessError(_describe_crash(first, folder.place(first.local_rank), host))
    if not outcomes:
        return LostProcessError(f"the processes on {host} were ended from outside")
    outcome = [*final, *outcomes][0]
    return WorkerError(f"rank {outcome.rank} on {outcome.host}: {outcome.message}", outcome.exit_code)


def _describe_crash(failure: ProcessFailure, place: WorkerPlace | None, host: str) -> str:
    """Which process died how, and what it wrote last."""
    name = f"rank {place.rank}" if place else f"process {failure.local_rank}"
    code = failure.exitcode
    end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    text = f"{name} on {host} (process id {failure.pid}) {end}"
    if place is None:
        return f"{text} before it joined the others; what it printed is above"
    if place.log_file is None:
        return f"{text}; what it printed is above"
    lines = _last_lines(Path(place.log_file))
    return "\n".join([f"{text}; its last lines, from {place.log_file}:", *(f"  {line}" for line in lines)])


def _last_lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return [f"(cannot be read: {error.strerror})"]
    return [line[:_LINE_WIDTH] for line in lines[-_NUM_LAST_LINES:]]
